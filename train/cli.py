"""`camoe-train`: a feature store becomes a run folder."""

from __future__ import annotations

from functools import partial

import click

from ..pipeline.command import camoe_command, options_from, say
from .config import TrainConfig


@camoe_command("camoe-train", go_on="the same command with --resume goes on")
@click.option("--resume", is_flag=True, help="Continue an unfinished run from its last checkpoint.")
@options_from(TrainConfig)
def main(config: TrainConfig, resume: bool) -> None:
    """Train experts, gate and text heads on the features of a store, and write a run folder.

    The epoch that is best on the validation captions is kept; test captions are never looked at.
    """
    from .memory import keep_freed_memory
    from .run import fit  # torch is loaded when there is work, not for --help
    from .run_folder import load_run
    from .summary import summarise

    keep_freed_memory()
    say(summarise(load_run(fit(config, resume=resume, say=partial(say, err=True)))))
