"""`camoe-sweep`: a feature store and a grid (or a search) become tables and plots."""

from __future__ import annotations

import click

from ...pipeline.command import camoe_command, options_from, say
from .config import SweepConfig


@camoe_command("camoe-sweep", go_on="the same command goes on, and finished runs are kept")
@click.option("--dry-run", "only_list", is_flag=True, help="List cells and groups; train nothing.")
@click.option(
    "--ensemble/--no-ensemble",
    default=None,
    help="Train cells of one architecture together as one batched model.  [default: on a GPU]",
)
@options_from(SweepConfig)
def main(config: SweepConfig, only_list: bool, ensemble: bool | None) -> int:
    """Train and evaluate every cell of a grid with every seed; write tables, plots and an overview.

    With --search, settings are drawn from ranges and the best are chosen on validation; the tables show those.

    To continue a stopped sweep, give the same command again. Exit status 3: all done, but some cells failed.
    """
    from .run import dry_run, sweep  # which load torch and matplotlib: not needed for --help

    if only_list:
        say(dry_run(config, ensemble=ensemble))
        return 0
    outcome = sweep(config, say, ensemble=ensemble)
    say("\n".join(["", *outcome.told, "", f"overview {outcome.folder / 'overview.md'}"]))
    return outcome.status


if __name__ == "__main__":
    main()
