"""What `camoe-evaluate` does for a config: an evaluation, a transfer matrix, or a check."""

from __future__ import annotations

from .config import EvaluateConfig
from .golden import golden_check
from .run import evaluate
from .table import render
from .transfer import render_transfer, transfer_matrix

CHECK_FAILED = 3


def perform(config: EvaluateConfig) -> tuple[str, int]:
    """The text for the terminal and the exit status: 0, or 3 where a check failed."""
    if config.golden:
        result = golden_check(config)
        return result.render(), 0 if result.passed else CHECK_FAILED
    if config.transfer:
        return render_transfer(transfer_matrix(config)), 0
    return render(evaluate(config)), 0
