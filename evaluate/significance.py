"""How sure the numbers are: bootstrap intervals over queries, a paired bootstrap of two runs, and hubness.

Ranks are those of `metrics`. Captions of one video are not independent queries: give `clusters` (for
text-to-video, `video_of_caption`) and whole videos are drawn, with all their captions, which widens the
intervals to what they should be. Without `clusters` every query is drawn for itself. The gallery stays fixed:
the intervals speak about other queries, not about another gallery or another training seed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch

from ..pipeline.arrays import matrix
from ..pipeline.errors import ArrayError
from ..pipeline.hubness import KOccurrence
from ..pipeline.record import Record
from .metrics import RECALL_AT, rank_array, summarise_ranks

Ranks: TypeAlias = np.ndarray | torch.Tensor
Clusters: TypeAlias = np.ndarray | torch.Tensor | Sequence[int]
WEIGHTS_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Interval:
    """A metric's value and the percentile interval of its bootstrap distribution."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference(Record):
    """First run minus second: value, interval, and the two-sided p-value of "no difference"."""

    value: float
    low: float
    high: float
    p_value: float

    @property
    def p_text(self) -> str:
        """`p = 0.031`, and never `p = 0.000`."""
        return "p < 0.001" if self.p_value < 0.0005 else f"p = {self.p_value:.3f}"


def bootstrap_intervals(
    ranks: Ranks,
    clusters: Clusters | None = None,
    *,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
    lower_median: bool = False,
) -> dict[str, Interval]:
    """Percentile intervals of R@K (percent), MdR and MnR for ranks (Q,); the same seed gives the same numbers.

    clusters: (Q,) whole numbers; queries of one cluster are drawn together. lower_median: as in
    `metrics.summarise_ranks`. One cluster cannot vary: its interval has no width.

    Raises ArrayError for no ranks, clusters of another length, fewer than 1 resample, or a level outside (0,
    1).
    """
    values = rank_array(ranks)
    point = summarise_ranks(values, lower_median=lower_median)
    draws = _resampled(values[None], clusters, resamples, seed, lower_median)[0]
    low, high = _percentiles(draws, level)
    return {name: Interval(point[name], float(low[i]), float(high[i])) for i, name in enumerate(point)}


def paired_bootstrap(
    ranks: Ranks,
    other_ranks: Ranks,
    clusters: Clusters | None = None,
    *,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
    lower_median: bool = False,
) -> dict[str, Difference]:
    """Difference `ranks` minus `other_ranks` of every metric, both runs resampled with the same draws.

    Both are (Q,) for the same queries in the same order. The p-value is where the percentile interval would
    just touch 0: twice the smaller share of resamples on either side of it, each with the usual plus one, at
    most 1. Positive R@K and negative MdR, MnR mean that the first run is better. Many metrics at once are
    many tests: correct for them.

    Raises ArrayError as `bootstrap_intervals`, or when the runs have different numbers of queries.
    """
    first, second = rank_array(ranks), rank_array(other_ranks)
    if len(first) != len(second):
        raise ArrayError(f"the runs have {len(first)} and {len(second)} queries; compare the same queries in order")
    point, other = (summarise_ranks(r, lower_median=lower_median) for r in (first, second))
    draws = _resampled(np.stack([first, second]), clusters, resamples, seed, lower_median)
    differences = draws[0] - draws[1]
    return {name: _difference(point[name] - other[name], differences[:, i], level) for i, name in enumerate(point)}


class PairedRecall:
    """`paired_bootstrap` of R@K alone, for many comparisons over the same clusters: drawn once, the same numbers."""

    def __init__(self, clusters: int, *, resamples: int = 2000, level: float = 0.95, seed: int = 0) -> None:
        """For queries in `clusters` clusters, numbered from 0; raises ArrayError as `paired_bootstrap`."""
        if resamples < 1:
            raise ArrayError(f"the bootstrap's resamples is {resamples}; choose at least 1")
        draws = _draws(np.arange(clusters), resamples, np.random.default_rng(seed))
        self.weights = [block.astype(np.min_scalar_type(block.max())) for block in draws]  # mostly a byte a number
        self.clusters, self.level = clusters, level

    def difference(self, ranks: Ranks, other_ranks: Ranks, cluster: np.ndarray, k: int = 1) -> Difference:
        """R@k (percent) of `ranks` minus that of `other_ranks`, both (Q,), query q being of `cluster[q]`."""
        found = [rank_array(run) <= k for run in (ranks, other_ranks)]
        if any(len(run) != len(cluster) for run in found):
            raise ArrayError(f"the runs have {len(found[0])} and {len(found[1])} queries, and clusters {len(cluster)}")
        parts = (cluster, *(cluster[run] for run in found))
        counts = np.stack([np.bincount(part, minlength=self.clusters) for part in parts], axis=1).astype(np.float64)
        drawn = np.concatenate([block.astype(np.float64) @ counts for block in self.weights])  # whole numbers
        total, first, second = drawn.T
        recall = [100.0 * float(np.count_nonzero(run)) / len(run) for run in found]
        return _difference(recall[0] - recall[1], 100.0 * first / total - 100.0 * second / total, self.level)


def k_occurrence_skewness(sim: np.ndarray | torch.Tensor, k: int = 10) -> float:
    """Skewness of how often each gallery item is among a query's k best: 0 is even, above about 1 means hubs.

    sim: (queries, gallery), so `sim.T` for video-to-text. Items tied at the k-th place share what is left of
    it; a k above the gallery's size counts as its size, where all items occur alike and the skewness is 0.
    Third standardised moment (Radovanović et al., 2010, JMLR 11).

    Raises ArrayError for NaN, an empty matrix or k < 1.
    """
    scores = matrix(sim)
    found = KOccurrence(scores.shape[1], k, scores.device)
    found.see(scores)
    return found.skewness


def _resampled(
    ranks: np.ndarray, clusters: Clusters | None, resamples: int, seed: int, lower_median: bool
) -> np.ndarray:
    """(runs, resamples, metrics) of ranks (runs, Q): the same draws for every run, `summarise_ranks`' order."""
    if resamples < 1:
        raise ArrayError(f"the bootstrap's resamples is {resamples}; choose at least 1")
    cluster = _cluster_index(clusters, ranks.shape[1])
    sorted_runs = [np.argsort(run, kind="stable") for run in ranks]
    blocks = []
    for weights in _draws(cluster, resamples, np.random.default_rng(seed)):
        blocks.append(
            [
                _weighted_metrics(run[order], weights[:, order], lower_median)
                for run, order in zip(ranks, sorted_runs, strict=True)
            ]
        )
    return np.concatenate(blocks, axis=1)


def _cluster_index(clusters: Clusters | None, queries: int) -> np.ndarray:
    if clusters is None:
        return np.arange(queries)
    labels = np.asarray(clusters.cpu() if isinstance(clusters, torch.Tensor) else clusters)
    if labels.shape != (queries,):
        raise ArrayError(f"clusters has shape {labels.shape} for {queries} queries; give one cluster per query")
    return np.unique(labels, return_inverse=True)[1]


def _draws(cluster: np.ndarray, resamples: int, generator: np.random.Generator) -> Iterator[np.ndarray]:
    """How often each query was drawn, (some resamples, Q) at a time; clusters drawn with replacement."""
    count = int(cluster.max()) + 1
    at_once = max(1, WEIGHTS_AT_ONCE // len(cluster))
    for start in range(0, resamples, at_once):
        size = min(at_once, resamples - start)
        drawn = generator.multinomial(count, np.full(count, 1.0 / count), size=size)
        yield drawn[:, cluster]


def _weighted_metrics(ranks: np.ndarray, weights: np.ndarray, lower_median: bool) -> np.ndarray:
    """(resamples, metrics) of sorted ranks (Q,) that occur `weights` (resamples, Q) times."""
    cumulative = weights.cumsum(1)
    total = cumulative[:, -1]
    padded = np.concatenate([np.zeros((len(weights), 1), dtype=cumulative.dtype), cumulative], axis=1)
    found = np.searchsorted(ranks, RECALL_AT, side="right")
    recalls = 100.0 * padded[:, found] / total[:, None]
    lower = ranks[(cumulative <= ((total - 1) // 2)[:, None]).sum(1)]
    upper = lower if lower_median else ranks[(cumulative <= (total // 2)[:, None]).sum(1)]
    return np.column_stack([recalls, (lower + upper) / 2, weights @ ranks / total])


def _difference(value: float, draws: np.ndarray, level: float) -> Difference:
    """Of resampled differences (resamples,)."""
    low, high = _percentiles(draws, level)
    one_side = 1 + min((draws <= 0).sum(), (draws >= 0).sum())
    return Difference(value, float(low), float(high), min(1.0, 2.0 * float(one_side) / (len(draws) + 1)))


def _percentiles(draws: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    if not 0 < level < 1:
        raise ArrayError(f"the interval's level is {level}; choose a number between 0 and 1, such as 0.95")
    tail = (1 - level) / 2
    return np.quantile(draws, tail, axis=0), np.quantile(draws, 1 - tail, axis=0)
