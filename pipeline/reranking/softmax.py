"""Re-rankings by a softmax over queries: DSL over those that are ranked, the inverted softmax over a bank."""

from __future__ import annotations

import torch

from .base import Reranker
from .statistics import LogSum
from .values import Sharpness


class Unchanged(Reranker):
    """The scores as they are."""

    def change(self, scores: torch.Tensor, rows: slice) -> torch.Tensor:
        return scores


class DualSoftmax(Reranker):
    """`s · softmax(s / temperature)`, the softmax over all queries. Source: CAMoE, arXiv 2109.04290."""

    def __init__(self, temperature: float) -> None:
        self.sharpness = Sharpness.temperature(temperature)
        self.sums = LogSum(self.sharpness)
        self.over_queries = (self.sums,)

    def change(self, scores: torch.Tensor, rows: slice) -> torch.Tensor:
        return self.log_prior(scores).exp_().mul_(scores)

    def log_prior(self, scores: torch.Tensor) -> torch.Tensor:
        """`log softmax(s / temperature)`, a new tensor."""
        return self.sharpness.of(scores).sub_(self.sums.log_sum)


class DualSoftmaxLog(DualSoftmax):
    """`s + log softmax(s / temperature)`: the prior added in log space."""

    def change(self, scores: torch.Tensor, rows: slice) -> torch.Tensor:
        return self.log_prior(scores).add_(scores)


class InvertedSoftmax(Reranker):
    """`log(exp(β s) / Σ_bank exp(β s_bank))` for every query. Source: Smith et al., arXiv 1702.03859."""

    def __init__(self, beta: float, name: str = "the query bank's beta") -> None:
        self.sharpness = Sharpness.beta(beta, name)
        self.sums = LogSum(self.sharpness)
        self.over_bank = (self.sums,)

    def change(self, scores: torch.Tensor, rows: slice) -> torch.Tensor:
        return self.sharpness.of(scores).sub_(self.sums.log_sum)
