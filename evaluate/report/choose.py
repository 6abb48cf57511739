"""What a page shows of ranks and scores. Arrays only; queries are rows, `scores (Q, G)`, higher is better."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RANK_EDGES = (1, 2, 3, 6, 11, 21, 51, 101, 1001)
"""Where the bins of the rank histogram begin; the last one is open."""


@dataclass(frozen=True)
class Chosen:
    """Rows of queries to show, best known first: the `worst`, the `luckiest`, and a fair `sample`."""

    worst: list[int]
    luckiest: list[int]
    sample: list[int]


def choose_queries(ranks: np.ndarray, margins: np.ndarray, count: int, seed: int) -> Chosen:
    """`ranks (Q,)` from 1; `margins (Q,)` of a query's own best item above the best other one.

    The worst have the largest ranks (none that is found first), the luckiest are first by the smallest margin, the
    sample is drawn from all queries by seed.
    """
    order = np.argsort(-ranks, kind="stable")
    worst = [int(row) for row in order[:count] if ranks[row] > 1]
    first = np.flatnonzero(ranks == 1)
    luckiest = first[np.argsort(margins[first], kind="stable")][:count]
    drawn = np.random.default_rng(seed).permutation(len(ranks))[:count]
    return Chosen(worst, luckiest.tolist(), np.sort(drawn).tolist())


def best_items(scores: np.ndarray, count: int) -> np.ndarray:
    """`(…, count)` columns of the best items, best first, equal ones in their order."""
    return np.argsort(-scores, axis=-1, kind="stable")[..., :count]


def recall_curve(ranks: np.ndarray, items: int) -> tuple[np.ndarray, np.ndarray]:
    """`K` and R@K in percent, for every K at which it changes, from 1 to `items`."""
    at = np.unique(np.concatenate([[1, items], ranks]))
    at = at[at <= items]
    return at, 100.0 * np.searchsorted(np.sort(ranks), at, side="right") / len(ranks)


def rank_bins(ranks: np.ndarray, items: int) -> list[tuple[str, int]]:
    """`(label, how many queries)` of each bin that `items` ranks can fall into."""
    edges = [edge for edge in RANK_EDGES if edge <= items]
    bins = []
    for place, low in enumerate(edges):
        high = edges[place + 1] - 1 if place + 1 < len(edges) else items
        label = str(low) if high == low else f"{low}–{high}"
        bins.append((label, int(np.count_nonzero((ranks >= low) & (ranks <= high)))))
    return bins


def most_found(among: np.ndarray, first: np.ndarray, count: int) -> list[int]:
    """The `count` items that are `among` the best of most queries; of equal ones those that are `first` more often."""
    return np.lexsort((np.arange(len(among)), -first, -among))[:count].tolist()


@dataclass(frozen=True)
class Effect:
    """What a re-ranking did: how many queries rank better, worse, the same; the rows that gained and lost most."""

    better: int
    worse: int
    same: int
    gained: list[int]
    lost: list[int]


def rerank_effect(before: np.ndarray, after: np.ndarray, count: int) -> Effect:
    """`before`, `after (Q,)` are ranks; most is by their ratio: from 10 to 1 is more than from 100 to 20."""
    change = np.log(before) - np.log(after)
    order = np.argsort(-change, kind="stable")
    gained = [int(row) for row in order[:count] if change[row] > 0]
    lost = [int(row) for row in np.argsort(change, kind="stable")[:count] if change[row] < 0]
    better, worse = int((change > 0).sum()), int((change < 0).sum())
    return Effect(better, worse, len(change) - better - worse, gained, lost)


def disagreements(ranks: np.ndarray, count: int) -> list[int]:
    """Of `ranks (R runs, Q)`, the queries whose ranks lie furthest apart by their ratio, furthest first."""
    logs = np.log(ranks)
    spread = logs.max(axis=0) - logs.min(axis=0)
    return [int(row) for row in np.argsort(-spread, kind="stable")[:count] if spread[row] > 0]


def ambiguous_rows(texts: Sequence[str], owner: np.ndarray) -> dict[int, int]:
    """Captions that stand on several videos word for word, by row: on how many.

    `owner (M,)` is each caption's video. Case and white space do not count.
    """
    plain = [" ".join(text.split()).casefold() for text in texts]
    videos = Counter(text for text, _ in {(text, int(video)) for text, video in zip(plain, owner, strict=True)})
    return {row: videos[text] for row, text in enumerate(plain) if videos[text] > 1}
