"""Re-rankings by banks: QB-Norm's dynamic inverted softmax, and the two-bank products DualIS and DualDIS."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..arrays import ArrayT
from .base import Reranker
from .softmax import InvertedSoftmax
from .statistics import Hubs, Statistic


class DynamicSoftmax(InvertedSoftmax):
    """The inverted softmax only for queries whose best item is a hub; other rows stay as they are.

    A hub is among the `k` best of at least `hits` bank queries. Ties at the k-th place, and for the best, all count.
    """

    def __init__(self, beta: float, k: int = 1, hits: int = 1, name: str = "the query bank's") -> None:
        super().__init__(beta, f"{name} beta")
        self.hubs = Hubs(k, hits, name)
        self.over_bank: Sequence[Statistic] = (self.sums, self.hubs)

    def changes(self, scores: torch.Tensor) -> torch.Tensor:
        """`(b, 1)` bool: which queries have a hub as their best."""
        best_hub = (scores + self.hubs.penalty).amax(1, keepdim=True)
        return best_hub == scores.amax(1, keepdim=True)

    def change(self, scores: torch.Tensor, rows: slice) -> torch.Tensor:
        changes = self.changes(scores)[:, 0]
        changed = scores.clone()
        if changes.any():
            changed[changes] = super().change(scores[changes], rows)
        return changed


class QueryBank(DynamicSoftmax):
    """QB-Norm (arXiv 2112.12777): what must be known of `size` bank queries, for any number of queries.

    `is_hub (N,)`: gallery items that are hubs; `log_sum (N,) = log Σ_b exp(beta * bank_sim[b])`.
    """

    @classmethod
    def of(cls, bank_sim: ArrayT, beta: float, k: int = 1, hits: int = 1) -> QueryBank:
        """From bank_sim (B, N); raises ArrayError for values that are not finite, beta <= 0, or k outside 1..N."""
        bank = cls(beta, k, hits)
        bank.fit_banks(bank_sim)
        return bank

    @property
    def is_hub(self) -> torch.Tensor:
        return self.hubs.is_hub

    @property
    def log_sum(self) -> torch.Tensor:
        return self.sums.log_sum

    @property
    def beta(self) -> float:
        return self.sharpness.factor

    @property
    def size(self) -> int:
        return self.sums.queries


class DualInverted(Reranker):
    """DualIS (arXiv 2310.11612): the product of the inverted softmaxes over a query bank and a gallery bank, as a log.

    The released `db_norm` never reads the scores that it re-ranks; this is the product that the paper's title names.
    """

    def __init__(self, beta1: float, beta2: float) -> None:
        self.by_queries = InvertedSoftmax(beta1, "dualis's beta1")
        self.by_gallery = InvertedSoftmax(beta2, "dualis's beta2")
        self.over_bank, self.over_gallery_bank = self.by_queries.over_bank, self.by_gallery.over_bank

    def change(self, scores: torch.Tensor, rows: slice) -> torch.Tensor:
        return self.by_queries.change(scores, rows).add_(self.by_gallery.change(scores, rows))


class DualDynamic(Reranker):
    """DualDIS: as DualIS, each factor only for queries whose best item is a hub of its bank.

    A query that neither bank changes keeps its scores. One that a single bank changes is scored, as published, by
    `s · exp(β s) / Σ`, which assumes positive scores. Rows are scaled so that nothing overflows.
    """

    def __init__(self, beta1: float, beta2: float, k: int) -> None:
        self.by_queries = DynamicSoftmax(beta1, k, name="dualdis's query bank's")
        self.by_gallery = DynamicSoftmax(beta2, k, name="dualdis's gallery bank's")
        self.over_bank, self.over_gallery_bank = self.by_queries.over_bank, self.by_gallery.over_bank

    def change(self, scores: torch.Tensor, rows: slice) -> torch.Tensor:
        first, second = self.by_queries, self.by_gallery
        changed = [one.changes(scores) for one in (first, second)]
        logs = [InvertedSoftmax.change(one, scores, rows) for one in (first, second)]
        both = logs[0] + logs[1]
        one = torch.where(changed[0], logs[0], logs[1])
        one = scores * (one - one.amax(1, keepdim=True)).exp_()
        return torch.where(changed[0] & changed[1], both, torch.where(changed[0] | changed[1], one, scores))
