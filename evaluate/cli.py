"""`camoe-evaluate`: a run folder becomes retrieval numbers."""

from __future__ import annotations

from ..pipeline.command import camoe_command, options_from, say
from .config import EvaluateConfig


@camoe_command("camoe-evaluate")
@options_from(EvaluateConfig)
def main(config: EvaluateConfig) -> int:
    """Rank a subset with a run's model: R@K, median and mean rank, both directions, raw and re-ranked.

    The numbers are printed and written to evaluation/<store>-<protocol>-<subset>.json in the run folder. With
    --transfer, several runs are evaluated on each other's stores. With --check, a store's zero-shot numbers are
    compared with published ones (exit status 3 if they differ).
    """
    from .tasks import perform  # which loads torch: not needed for --help

    text, status = perform(config)
    say(text)
    return status
