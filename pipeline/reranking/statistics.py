"""What is gathered about the items of a gallery from the scores of queries, block by block, in float64.

The queries are those that are ranked, or a bank of others. `gather` makes the passes that the statistics ask for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from ..scores import BLOCK_BYTES, Scores
from .values import Sharpness, whole

MOST_EXPONENT = 300.0
"""Half of what float64 holds as exp(…)."""


class Statistic:
    """Something about every item of a gallery, from `passes` passes over the scores of queries.

    `by_item` ones see blocks of gallery items with the scores of all queries, others blocks of queries with the scores
    of the whole gallery.
    """

    passes = 1
    by_item = False

    def begin(self, queries: int, gallery: int, device: torch.device) -> None:
        """Before the first pass."""

    def see(self, rows: slice, scores: torch.Tensor) -> None:
        """A block `(b, gallery)`, or `(b, queries)` of a `by_item` statistic, in float64; not to be changed."""
        raise NotImplementedError

    def end_pass(self) -> None:
        """After each pass."""


def gather(scores: Scores, statistics: Sequence[Statistic], block_bytes: int = BLOCK_BYTES) -> None:
    """Let the statistics see all scores, as often as they need; passes are shared."""
    for statistic in statistics:
        statistic.begin(*scores.shape, scores.device)
    for by_item, source in ((False, scores), (True, scores.transposed)):
        seeing = [statistic for statistic in statistics if statistic.by_item == by_item]
        for number in range(max((statistic.passes for statistic in seeing), default=0)):
            _one_pass(source, [one for one in seeing if one.passes > number], block_bytes)


def _one_pass(source: Scores, seeing: Sequence[Statistic], block_bytes: int) -> None:
    for rows, block in source.blocks(block_bytes):
        exact = block.double()
        for statistic in seeing:
            statistic.see(rows, exact)
    for statistic in seeing:
        statistic.end_pass()


class LogSum(Statistic):
    """`log_sum (N,) = log Σ_queries exp(sharp score)`."""

    def __init__(self, sharpness: Sharpness) -> None:
        self.sharpness = sharpness

    def begin(self, queries: int, gallery: int, device: torch.device) -> None:
        self.queries = queries
        self.base: torch.Tensor | None = None
        self.total = torch.zeros(gallery, dtype=torch.float64, device=device)

    def see(self, rows: slice, scores: torch.Tensor) -> None:
        self.add(self.sharpness.of(scores))

    def add(self, sharp: torch.Tensor) -> None:
        """`sharp (b, N)` is used up.

        The sum is kept relative to `base`, the first block's greatest, and to a new one where it would overflow.
        """
        if self.base is None:
            self.base = sharp.amax(0)
        above = sharp.sub_(self.base)
        if above.amax() > MOST_EXPONENT:
            rise = above.amax(0).clamp_(min=0)
            self.base, self.total = self.base + rise, self.total * (-rise).exp()
            above -= rise
        self.total += above.exp_().sum(0)

    def end_pass(self) -> None:
        assert self.base is not None
        self.log_sum = self.base + self.total.log()


class Hubs(Statistic):
    """`is_hub (N,)`: items among the `k` best of at least `hits` queries; those tied at the k-th place all count."""

    def __init__(self, k: int, hits: int = 1, name: str = "the query bank's") -> None:
        self.k, self.hits, self.name = k, whole(hits, f"{name} hits"), name

    def begin(self, queries: int, gallery: int, device: torch.device) -> None:
        self.k = whole(self.k, f"{self.name} k", gallery, "the gallery's size")
        self.count = torch.zeros(gallery, dtype=torch.int64, device=device)

    def see(self, rows: slice, scores: torch.Tensor) -> None:
        kth_best = scores.amax(1, keepdim=True) if self.k == 1 else scores.topk(self.k, dim=1).values[:, -1:]
        self.count += (scores >= kth_best).sum(0)

    def end_pass(self) -> None:
        self.is_hub = self.count >= self.hits
        self.penalty = torch.zeros_like(self.count, dtype=torch.float64).masked_fill_(~self.is_hub, -math.inf)


class BestMean(Statistic):
    """`mean (N,)` of an item's `k` best scores by any query; of all for `k` None, and where there are fewer."""

    by_item = True

    def __init__(self, k: int | None, name: str = "nnn's k") -> None:
        self.k, self.name = k, name

    def begin(self, queries: int, gallery: int, device: torch.device) -> None:
        if self.k is not None:
            self.k = min(whole(self.k, self.name), queries)
        self.mean = torch.zeros(gallery, dtype=torch.float64, device=device)

    def see(self, rows: slice, scores: torch.Tensor) -> None:
        best = scores if self.k in (None, scores.shape[1]) else scores.topk(self.k, dim=1, sorted=False).values
        self.mean[rows] = best.mean(1)


class Balance(Statistic):
    """Sinkhorn-Knopp in log space: sharp scores less `of_query (Q,)`, less `of_item (N,)`, plus `share`.

    Their exp(…) sums to 1 for every query and to Q / N for every item. An iteration is one pass: queries first, then
    items; with `items_first` another pass balances the items before. Of a single query all items tie, exactly.
    """

    def __init__(self, sharpness: Sharpness, iterations: int, *, items_first: bool = False, name: str) -> None:
        self.sharpness = sharpness
        self.passes = whole(iterations, f"{name}'s iterations") + items_first
        self.waits = items_first

    def begin(self, queries: int, gallery: int, device: torch.device) -> None:
        self.share = math.log(queries / gallery)
        self.of_item = torch.zeros(gallery, dtype=torch.float64, device=device)
        self.of_query = torch.zeros(queries, dtype=torch.float64, device=device)
        self._sums(gallery, device)

    def _sums(self, gallery: int, device: torch.device) -> None:
        self.sums = LogSum(self.sharpness)
        self.sums.begin(0, gallery, device)

    def see(self, rows: slice, scores: torch.Tensor) -> None:
        sharp = self.sharpness.of(scores)
        if not self.waits:
            self.of_query[rows] = torch.logsumexp(sharp - self.of_item, dim=1)
            sharp -= self.of_query[rows, None]
        self.sums.add(sharp)

    def end_pass(self) -> None:
        self.sums.end_pass()
        self.of_item = self.sums.log_sum
        self.waits = False
        self._sums(len(self.of_item), self.of_item.device)
