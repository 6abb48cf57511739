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
        bound = config.max_matrix_bytes
        result = golden_check(config.golden, config.features, device=config.device, max_matrix_bytes=bound)
        return result.render(), 0 if result.passed else CHECK_FAILED
    if config.transfer:
        return render_transfer(transfer_matrix(config)), 0
    told: list[str] = []
    text = render(evaluate(config, told.append))
    return "\n".join([*told, text]), 0
