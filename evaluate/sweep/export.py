"""Tidy tables: `results.csv` and parquet, a row a cell and seed with its cost, and every epoch in `curves.csv`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas

from ...pipeline.atomic import atomic_path, write_atomic
from ...pipeline.csv_text import safe_cell
from ..cost import SearchCost
from ..names import COSTS, DIRECTIONS, METRICS, SEARCH_SIZES
from .costs import Costs, model_name
from .grid import Cell, shown
from .plan import Plan
from .result import OK, Result, reranking_name
from .settings import NAMES, idle

EPOCH = ("epoch", "loss", "gradient_norm", "logit_scale", "t2v_R@1", "v2t_R@1", "R@1", "seconds")


def write_tidy(plan: Plan, results: Mapping[str, Result], costs: Costs, folder: Path) -> None:
    """The three files; a cell without a result yet is a row with status `missing`."""
    write_table(_rows(plan, results, costs), folder / "results")
    write_atomic(folder / "curves.csv", _csv(pandas.DataFrame(_curves(plan, results))))


def write_table(rows: Sequence[Mapping[str, Any]], stem: Path) -> None:
    """Rows as `STEM.csv` and `STEM.parquet`."""
    frame = pandas.DataFrame(rows)
    write_atomic(stem.with_name(f"{stem.name}.csv"), _csv(frame))
    with atomic_path(stem.with_name(f"{stem.name}.parquet")) as temporary:
        frame.to_parquet(temporary, index=False)


def _csv(frame: pandas.DataFrame) -> str:
    """Texts that a spreadsheet would take for formulas, such as a label, are marked as text."""
    return frame.map(lambda value: safe_cell(value) if isinstance(value, str) else value).to_csv(index=False)


def _rows(plan: Plan, results: Mapping[str, Result], costs: Costs) -> list[dict[str, Any]]:
    return [
        _row(cell, key, plan, results.get(key), costs) for cell in plan.sweep.cells for key in plan.keys[cell.identity]
    ]


def _row(cell: Cell, key: str, plan: Plan, result: Result | None, costs: Costs) -> dict[str, Any]:
    tables = [table.name for table in plan.sweep.tables if any(c.identity == cell.identity for c in table.cells)]
    row: dict[str, Any] = {
        "cell": cell.name,
        "tables": " ".join(tables),
        "seed": plan.runs[key].config.seed,
        "status": "missing" if result is None else result.status,
        "reason": "" if result is None else result.reason,
    }
    row |= settings_of(cell)
    good = result if result is not None and result.status == OK else None
    name = reranking_name(cell.config.reranking)
    row["val R@1"] = good.validation.get(name) if good else None
    row["best_epoch"] = good.best["epoch"] if good else None
    for direction in DIRECTIONS:
        for metric in METRICS:
            row[f"{direction} {metric}"] = good.metrics[name][direction][metric] if good else None
    row |= {
        "parameters": good.parameters if good else None,
        "seconds": good.seconds if good else None,
        **_search_cost(costs.get(model_name(plan.runs[key].config))),
        "trained_together": good.together if good else None,
        "protocol": plan.protocol,
        "store": plan.store.content_hash,
        "training": key,
    }
    return row


def settings_of(cell: Cell) -> dict[str, Any]:
    """Every setting of a cell by name; none where it changes nothing."""
    return {name: _plain(cell, name) for name in NAMES}


def _search_cost(cost: SearchCost | None) -> dict[str, float | int | None]:
    """What a search by the cell's model costs; none where no query can be scored alone."""
    times = None if cost is None else cost.milliseconds
    values = [None if times is None else round(times[size], 4) for size in SEARCH_SIZES]
    return dict(zip(COSTS[2:], [*values, None if cost is None else cost.bytes_per_video], strict=True))


def _plain(cell: Cell, name: str) -> Any:
    """A setting's value, a list of them as one text; none where it changes nothing."""
    value = None if name in idle(cell.config) else getattr(cell.config, name)
    return shown(value) if isinstance(value, tuple) else value


def _curves(plan: Plan, results: Mapping[str, Result]) -> list[dict[str, Any]]:
    return [
        {"training": key, "cell": run.name} | {name: row.get(name) for name in EPOCH}
        for key, run in plan.runs.items()
        if key in results
        for row in results[key].curve
    ]
