"""`camoe`: lists the commands, and runs one of them: `camoe extract …` is `camoe-extract …`."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import click

from .pipeline.command import CamoeGroup, camoe_group
from .pipeline.config import unknown_name

COMMANDS = {
    "extract": ("extract.cli", "Videos and captions become a feature store."),
    "train": ("train.cli", "A feature store becomes a run folder."),
    "evaluate": ("evaluate.cli", "A run folder becomes retrieval numbers."),
    "sweep": ("evaluate.sweep.cli", "A feature store and a grid (or a search) become tables and plots."),
    "search": ("evaluate.search.cli", "Find videos by text or by video, in the terminal or on a page."),
    "report": ("evaluate.report.cli", "Runs, or a sweep, become a page."),
    "store": ("pipeline.store.cli", "Look at feature stores, check, join, thin out, export and import them."),
    "demo": ("pipeline.demo.cli", "Watch the whole pipeline run."),
}
"""Where each command lives, and what its module says of it: so that listing them imports none."""


class Umbrella(CamoeGroup):
    """A group whose commands are imported when they run; their mistakes and `--help` are their own."""

    def main(self, *args: Any, **extra: Any) -> Any:
        words = list(args[0] if args and args[0] is not None else sys.argv[1:])
        if words and words[0] in COMMANDS:
            return _load(words[0]).main(words[1:], **extra | {"prog_name": f"{self.name} {words[0]}"})
        return super().main(words or ["--help"], **extra)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in COMMANDS or ctx.resilient_parsing:
            return _load(cmd_name) if cmd_name in COMMANDS else None
        raise click.UsageError(unknown_name(cmd_name, COMMANDS, "command"), ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, said) for name, (_, said) in COMMANDS.items()])


def _load(name: str) -> click.Command:
    command: click.Command = import_module(f"{__package__}.{COMMANDS[name][0]}").main
    return command


@camoe_group("camoe", cls=Umbrella)
def main() -> None:
    """Video-text retrieval in two stages: videos and captions -> feature store -> run -> numbers.

    `camoe NAME --help` says more about each; `camoe extract` and `camoe-extract` are the same.
    """
