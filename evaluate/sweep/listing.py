"""What a dry run shows: tables, cells, and how the training runs are grouped."""

from __future__ import annotations

from collections.abc import Sequence

from ...pipeline.wording import counted
from ..grid import grid
from .plan import Plan
from .training_run import Group


def listing(plan: Plan, groups: Sequence[Group], kept: int) -> str:
    """A line per cell, then the groups."""
    blocks = [_table(plan, index) for index in range(len(plan.sweep.tables))]
    seeds = ", ".join(map(str, plan.sweep.seeds))
    counts = (
        f"{counted(len(plan.sweep.cells), 'cell')}, seeds {seeds}: {counted(len(plan.runs), 'training run')}"
        + (f", {kept} of them finished" if kept else "")
        + " (cells that differ only in re-ranking share one)"
    )
    lines = [*blocks, counts, *(f"left out: {reason}" for reason in plan.left_out), _groups(groups)]
    return "\n".join(lines)


def _groups(groups: Sequence[Group]) -> str:
    """How the runs are trained."""
    together = [group for group in groups if len(group) > 1]
    alone = len(groups) - len(together)
    lines = [f"{counted(alone, 'run')} one by one, one process a core" if alone or not together else ""]
    for number, group in enumerate(together, start=1):
        lines.append(f"group {number}: {counted(len(group), 'run')} as one ensemble")
        lines += [f"    {run.name}" for run in group]
    return "\n".join(line for line in lines if line)


def _table(plan: Plan, index: int) -> str:
    table = plan.sweep.tables[index]
    columns = table.columns
    rows = [
        [str(place), cell.label or "", *(cell.value(name) for name in columns), str(len(plan.keys[cell.identity]))]
        for place, cell in enumerate(table.cells, start=1)
    ]
    has_labels = any(cell.label for cell in table.cells)
    drop = slice(1, 1 if has_labels else 2)
    for row in rows:
        del row[drop]
    heads = ["", *(["cell"] if has_labels else []), *columns]
    lines = [line for line in grid(heads, [("", ["runs"])], rows) if line.strip()]
    doubles = counted(table.doubles, "combination")
    same = f" (left out, as it would repeat another cell: {doubles})" * bool(table.doubles)
    return "\n".join([f"{table.title}{same}", *lines, ""])
