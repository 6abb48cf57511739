"""`camoe-demo`: watch the whole pipeline run."""

from __future__ import annotations

from ..command import camoe_command, options_from, say
from .demo import DemoConfig, run_demo


@camoe_command("camoe-demo")
@options_from(DemoConfig)
def main(config: DemoConfig) -> None:
    """Render a few hundred short videos, run the commands on them, and print the table of measured numbers.

    Nothing is downloaded. The commands are shown, and you can run them yourself.
    """
    run_demo(config, say)
