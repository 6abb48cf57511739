"""Results as the rows of tables: mean and deviation over seeds, and what differs from the first row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean, stdev

from ...pipeline.too_few import too_few
from ..names import DIRECTIONS, RERANKINGS
from ..significance import Difference
from .comparison import Comparer, holm
from .grid import Cell, Table
from .plan import Plan
from .result import FAILED, OK, Result, reranking_name


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
    compare = Comparer()
    return [
        TableRows(table, _compared([_row(cell, plan, results) for cell in table.cells], compare))
        for table in plan.sweep.tables
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


def _compared(rows: list[Row], compare: Comparer) -> list[Row]:
    """Each row against the first."""
    found = {
        (row.cell.identity, direction): difference
        for row in rows[1:]
        for direction, difference in compare(row, rows[0]).items()
    }
    stands = holm({key: difference.p_value for key, difference in found.items()})
    return [
        replace(
            row,
            against_first={way: found[key] for way in DIRECTIONS if (key := (row.cell.identity, way)) in found},
            significant={way: stands[key] for way in DIRECTIONS if (key := (row.cell.identity, way)) in found},
        )
        for row in rows
    ]
