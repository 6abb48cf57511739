"""Results as the rows of tables: mean and deviation over seeds, and what differs from the first row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev

import numpy as np

from ...pipeline.too_few import too_few
from ..names import DIRECTIONS, RERANKINGS
from ..significance import Difference, paired_bootstrap
from .grid import Cell, Table
from .plan import Plan
from .result import FAILED, OK, Result, reranking_name
from .settings import idle

LEVEL = 0.05
TESTED = "R@1"


@dataclass(frozen=True)
class Row:
    """One cell over its seeds; `missing` counts the seeds without a result, `reasons` says why some failed.

    `against_first` holds, by direction, the difference of R@1 from the table's first row and `significant` whether
    it stands after Holm's correction over the table.
    """

    cell: Cell
    results: list[Result]
    missing: int
    reasons: list[str]
    against_first: dict[str, Difference] = field(default_factory=dict)
    significant: dict[str, bool] = field(default_factory=dict)

    @property
    def reranking(self) -> str:
        return reranking_name(self.cell.config.reranking)

    @property
    def transductive(self) -> bool:
        """Whether its numbers need all queries at once."""
        return self.cell.config.emcl or RERANKINGS[self.cell.config.rerank].transductive

    def values(self, direction: str, metric: str) -> list[float]:
        """One number a seed."""
        return [result.metrics[self.reranking][direction][metric] for result in self.results]

    def mean(self, direction: str, metric: str) -> float:
        return average(self.values(direction, metric))

    @property
    def validation(self) -> list[float]:
        """Mean R@1 of both directions on val, under the cell's own re-ranking; one number a seed."""
        return [result.validation[self.reranking] for result in self.results if result.validation]


@dataclass(frozen=True)
class TableRows:
    """A table with its numbers."""

    table: Table
    rows: list[Row]

    @property
    def too_few(self) -> str | None:
        """What to say where its test videos are too few to mean anything."""
        videos = [result.videos for row in self.rows for result in row.results]
        return too_few(min(videos)) if videos else None

    @property
    def too_few_to_choose(self) -> str | None:
        """What to say where they, or the val videos that chose the epochs and the cells, are too few for a winner."""
        counts = [result.validation_videos for row in self.rows for result in row.results]
        known = [count for count in counts if count is not None]
        return self.too_few or (too_few(min(known), "val videos") if known else None)


def summarise(plan: Plan, results: Mapping[str, Result]) -> list[TableRows]:
    """Every table of the sweep, with whatever results there are."""
    return [
        TableRows(table, _compared([_row(cell, plan, results) for cell in table.cells])) for table in plan.sweep.tables
    ]


def average(values: Sequence[float]) -> float:
    """The mean; NaN of nothing."""
    return fmean(values) if values else float("nan")


def deviation(values: Sequence[float]) -> float | None:
    """The sample standard deviation, none of fewer than two."""
    return stdev(values) if len(values) > 1 else None


def _row(cell: Cell, plan: Plan, results: Mapping[str, Result]) -> Row:
    keys = plan.keys[cell.identity]
    found = [results[key] for key in keys if key in results]
    good = [result for result in found if result.status == OK]
    reasons = list(dict.fromkeys(result.reason for result in found if result.status == FAILED))
    return Row(cell, good, len(keys) - len(good), reasons)


def _compared(rows: list[Row]) -> list[Row]:
    """Each row against the first by a paired bootstrap over test videos, all seeds of a video drawn together."""
    first = rows[0]
    others = [row for row in rows[1:] if _pairs(row, first)]
    resamples = 2000 if len(others) <= 10 else 10_000
    found = {
        (row.cell.identity, direction): _difference(row, first, direction, resamples)
        for row in others
        for direction in DIRECTIONS
    }
    stands = _holm({key: difference.p_value for key, difference in found.items()})
    return [
        Row(
            row.cell,
            row.results,
            row.missing,
            row.reasons,
            {direction: found[key] for direction in DIRECTIONS if (key := (row.cell.identity, direction)) in found},
            {direction: stands[key] for direction in DIRECTIONS if (key := (row.cell.identity, direction)) in found},
        )
        for row in rows
    ]


def _difference(row: Row, first: Row, direction: str, resamples: int) -> Difference:
    pairs = _pairs(row, first)
    mine = np.concatenate([mine.ranks[row.reranking][direction] for mine, _ in pairs])
    theirs = np.concatenate([other.ranks[first.reranking][direction] for _, other in pairs])
    owner = pairs[0][0].owner
    clusters = owner if direction == "t2v" else np.arange(len(mine) // len(pairs))
    return paired_bootstrap(mine, theirs, np.tile(clusters, len(pairs)), resamples=resamples)[TESTED]


def _pairs(row: Row, first: Row) -> list[tuple[Result, Result]]:
    """Results of one seed; a model that draws nothing at random has one result, which stands for every seed."""
    mine, theirs = ({result.seed: result for result in side.results} for side in (row, first))
    if len(mine) == 1 and "seed" in idle(row.cell.config):
        mine = dict.fromkeys(theirs, row.results[0])
    if len(theirs) == 1 and "seed" in idle(first.cell.config):
        theirs = dict.fromkeys(mine, first.results[0])
    return [(mine[seed], theirs[seed]) for seed in mine if seed in theirs]


def _holm(p_values: Mapping[tuple[str, str], float]) -> dict[tuple[str, str], bool]:
    """Which hypotheses fall at `LEVEL` over all of them (Holm, 1979)."""
    falls: dict[tuple[str, str], bool] = {}
    standing = True
    for place, key in enumerate(sorted(p_values, key=lambda key: p_values[key])):
        standing = standing and p_values[key] <= LEVEL / (len(p_values) - place)
        falls[key] = standing
    return falls
