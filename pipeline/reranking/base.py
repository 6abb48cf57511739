"""What a re-ranking is: what it gathers about the gallery's items, and how it then changes scores, query by query."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch

from ..arrays import ArrayT
from ..errors import ArrayError
from ..scores import BLOCK_BYTES, MatrixScores, Scores
from .statistics import Statistic, gather
from .values import finite, restore

ALL = slice(None)


class Reranker:
    """One re-ranking of queries (rows) against a gallery (columns). `fit` gathers, `change` re-ranks.

    `over_queries`, `over_bank` and `over_gallery_bank` are what it gathers, over the queries that are ranked, over a
    bank of queries, and over a bank of items of the gallery's kind. Only the order within a query means something.
    """

    over_queries: Sequence[Statistic] = ()
    over_bank: Sequence[Statistic] = ()
    over_gallery_bank: Sequence[Statistic] = ()
    gallery_size: int | None = None

    def change(self, scores: torch.Tensor, rows: slice) -> torch.Tensor:
        """The re-ranked scores of the queries `rows`, from `scores (b, N)` in float64, which stay as they are."""
        raise NotImplementedError

    def apply(self, sim: ArrayT) -> ArrayT:
        """`change` for any queries `sim (Q, N)` against the gallery that this was fitted to.

        Raises ArrayError for values that are not finite, or another gallery.
        """
        scores = finite(sim)
        if self.gallery_size not in (None, scores.shape[1]):
            raise ArrayError(
                f"bank_sim has {self.gallery_size} gallery items and sim {scores.shape[1]}; score both against one "
                "gallery"
            )
        return restore(self.change(scores, ALL), sim)

    def fit_banks(self, bank_sim: ArrayT, gallery_bank_sim: ArrayT | None = None) -> None:
        """Gather from held scores, each (bank, N); raises ArrayError for values that are not finite."""
        kin = None if gallery_bank_sim is None else held(gallery_bank_sim, "gallery_bank_sim")
        fit([self], bank=held(bank_sim, "bank_sim"), gallery_bank=kin)


def held(sim: ArrayT, name: str = "sim") -> MatrixScores:
    """Finite scores that are held, in float64."""
    return MatrixScores(finite(sim, name))


def fit(
    rerankers: Iterable[Reranker],
    *,
    queries: Scores | None = None,
    bank: Scores | None = None,
    gallery_bank: Scores | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> None:
    """Gather what the re-rankings need, in as few passes as that takes: they share them."""
    ready = list(rerankers)
    sources = {"over_queries": queries, "over_bank": bank, "over_gallery_bank": gallery_bank}
    for name, source in sources.items():
        statistics = [statistic for reranker in ready for statistic in getattr(reranker, name)]
        if statistics:
            assert source is not None, name
            gather(source, statistics, block_bytes)
            for reranker in ready:
                reranker.gallery_size = source.gallery
