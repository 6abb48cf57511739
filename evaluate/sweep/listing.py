"""What a dry run shows: tables, cells, and how the training runs are grouped."""

from __future__ import annotations

from collections.abc import Sequence

from ...pipeline.wording import counted
from ..grid import grid
from .plan import Plan
from .workers import Job


def listing(plan: Plan, jobs: Sequence[Job], kept: int) -> str:
    """A line per cell, then the groups."""
    blocks = [_table(plan, index) for index in range(len(plan.sweep.tables))]
    seeds = ", ".join(map(str, plan.sweep.seeds))
    counts = (
        f"{counted(len(plan.sweep.cells), 'cell')}, seeds {seeds}: {counted(len(plan.trainings), 'training run')}"
        + (f", {kept} of them finished" if kept else "")
        + " (cells that differ only in re-ranking share one)"
    )
    lines = [*blocks, counts, *(f"left out: {reason}" for reason in plan.left_out), groups(jobs)]
    return "\n".join(lines)


def groups(jobs: Sequence[Job]) -> str:
    """How the runs are trained."""
    together = [job for job in jobs if len(job) > 1]
    alone = len(jobs) - len(together)
    lines = [f"{counted(alone, 'run')} one by one, one process a core" if alone or not together else ""]
    for number, job in enumerate(together, start=1):
        lines.append(f"group {number}: {counted(len(job), 'run')} as one ensemble")
        lines += [f"    {training.name}" for training in job]
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
