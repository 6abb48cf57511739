"""`camoe-report`: runs, or a sweep, become a page."""

from __future__ import annotations

from pathlib import Path

import click

from ...pipeline.command import camoe_command, options_from, say
from .config import ReportConfig


@camoe_command("camoe-report")
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@options_from(ReportConfig)
def main(config: ReportConfig, runs: tuple[Path, ...]) -> None:
    """Write a page about runs, or about a sweep's folder, that opens from disk in any browser.

    It shows the numbers with intervals and what to compare them with, where they come from, and examples: queries with
    the frames of their videos and what was found instead. Several runs are compared with the first.
    """
    from .run import report  # which loads torch: not needed for --help

    say(str(report(runs, config, say)))
