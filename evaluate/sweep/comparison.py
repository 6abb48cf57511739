"""Cells held against each other on test: R@1 of the same queries and seeds, by a paired bootstrap over test videos."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Protocol, TypeVar

import numpy as np

from ..names import DIRECTIONS
from ..significance import Difference, PairedRecall
from .grid import Cell
from .result import Result
from .settings import idle

LEVEL = 0.05
RESAMPLES = 10_000
"""As many as a p-value needs that is corrected for a table's comparisons."""
Key = TypeVar("Key", bound=Hashable)


class Side(Protocol):
    """One cell over its seeds."""

    @property
    def cell(self) -> Cell: ...

    @property
    def results(self) -> list[Result]: ...

    @property
    def reranking(self) -> str: ...


class Comparer:
    """Compares cells of one sweep; all seeds of a video are drawn together, and the draws are made once."""

    def __init__(self) -> None:
        self._draws: dict[int, PairedRecall] = {}

    def __call__(self, side: Side, other: Side) -> dict[str, Difference]:
        """R@1 of `side` minus `other`, by direction; empty where they have no seed in common."""
        pairs = _pairs(side, other)
        return {direction: self._difference(side, other, pairs, direction) for direction in DIRECTIONS if pairs}

    def _difference(self, side: Side, other: Side, pairs: list[tuple[Result, Result]], direction: str) -> Difference:
        mine = np.concatenate([result.ranks[side.reranking][direction] for result, _ in pairs])
        theirs = np.concatenate([result.ranks[other.reranking][direction] for _, result in pairs])
        owner = np.unique(pairs[0][0].owner, return_inverse=True)[1]
        videos = int(owner.max()) + 1
        cluster = owner if direction == "t2v" else np.arange(videos)
        if videos not in self._draws:
            self._draws[videos] = PairedRecall(videos, resamples=RESAMPLES)
        return self._draws[videos].difference(mine, theirs, np.tile(cluster, len(pairs)))


def holm(p_values: Mapping[Key, float]) -> dict[Key, bool]:
    """Which hypotheses fall at `LEVEL` over all of them (Holm, 1979)."""
    falls: dict[Key, bool] = {}
    standing = True
    for place, key in enumerate(sorted(p_values, key=lambda key: p_values[key])):
        standing = standing and p_values[key] <= LEVEL / (len(p_values) - place)
        falls[key] = standing
    return falls


def _pairs(side: Side, other: Side) -> list[tuple[Result, Result]]:
    """Results of one seed; a model that draws nothing at random has one result, which stands for every seed."""
    mine, theirs = ({result.seed: result for result in each.results} for each in (side, other))
    if len(mine) == 1 and "seed" in idle(side.cell.config):
        mine = dict.fromkeys(theirs, side.results[0])
    if len(theirs) == 1 and "seed" in idle(other.cell.config):
        theirs = dict.fromkeys(mine, other.results[0])
    return [(mine[seed], theirs[seed]) for seed in mine if seed in theirs]
