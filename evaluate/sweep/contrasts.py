"""What one setting changes, the others alike: each of its values against the first, in every cell that has both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..names import DIRECTIONS
from ..significance import Difference
from .comparison import LEVEL, Comparer, holm
from .grid import shown as shown_value
from .summary import Row, TableRows
from .tables import MARK, Style

NONE = "No two cells of this sweep differ in one setting alone."
NOTE = (
    "Differences of R@1 on test in points, [95 % interval] by a paired bootstrap over test videos, in which all "
    "captions and seeds of a video are drawn together: it speaks of other queries, for these trainings. Settings that "
    f"were searched are each cell's own. Where one side needs all queries at once (EMCL, DSL, Sinkhorn), two kinds of "
    f"numbers are compared. {MARK['md']}: differs from 0 at p < {LEVEL:g}, corrected after Holm over all "
    "comparisons of its table."
)


@dataclass(frozen=True)
class Contrast:
    """A row against the one that differs from it in one setting alone, by direction."""

    row: Row
    differences: dict[str, Difference]


def contrasts(shown: TableRows, setting: str, compare: Comparer) -> dict[str, list[Contrast]]:
    """The rows of each value of a setting against those of its first value; searched settings are each row's own."""
    others = [name for name in shown.table.columns if name != setting]
    known = {getattr(row.cell.config, setting) for row in shown.rows}
    by_value: dict[str, list[Row]] = {}
    for row in shown.rows:
        if row.cell.reads(setting, known):
            by_value.setdefault(shown_value(getattr(row.cell.config, setting)), []).append(row)
    first, *values = by_value or ("",)
    found: dict[str, list[Contrast]] = {}
    for value in values:
        for row in by_value[value]:
            base = next((base for base in by_value[first] if _alike(row, base, others)), None)
            if base is not None and (differences := compare(row, base)):
                found.setdefault(f"{value} against {first}", []).append(Contrast(row, differences))
    return found


def markdown_contrasts(tables: Sequence[TableRows]) -> str:
    """A table for every two values of a setting, corrected for as many comparisons as it has."""
    compare = Comparer()
    parts = ["# What each setting changes"]
    for shown in tables:
        if shown.too_few:
            parts.append(f"## {shown.table.title}\n\nNothing is compared. {shown.too_few}.")
            continue
        for setting in shown.table.columns:
            for versus, found in contrasts(shown, setting, compare).items():
                title = f"## {shown.table.title}: {setting.replace('_', ' ')}, {versus}"
                parts.append(f"{title}\n\n{_table(shown, setting, found)}")
    parts.append(NOTE if len(parts) > 1 else NONE)
    return "\n\n".join(parts) + "\n"


def _alike(row: Row, base: Row, others: Sequence[str]) -> bool:
    """Whether they agree in what both of them read."""
    for name in others:
        both = {getattr(each.cell.config, name) for each in (row, base)}
        if len(both) > 1 and row.cell.reads(name, both) and base.cell.reads(name, both):
            return False
    return True


def _table(shown: TableRows, setting: str, found: Sequence[Contrast]) -> str:
    falls = holm({(place, way): d.p_value for place, each in enumerate(found) for way, d in each.differences.items()})
    names = [name for name in shown.table.columns if name != setting]
    labelled = not names or any(contrast.row.cell.label for contrast in found)
    titles = [""] if labelled else [name.replace("_", " ") for name in names]
    lines = [
        f"| {' | '.join([*titles, *(f'{way.upper()} R@1' for way in DIRECTIONS)])} |",
        f"|{'|'.join([':--'] * len(titles) + ['--:'] * len(DIRECTIONS))}|",
    ]
    for place, contrast in enumerate(found):
        cell = contrast.row.cell
        left = [cell.name] if labelled else [cell.value(name) for name in names]
        right = [
            f"{d.value:+.1f} [{d.low:+.1f}, {d.high:+.1f}]" + (f" {MARK['md']}" if falls[place, way] else "")
            for way, d in contrast.differences.items()
        ]
        lines.append(f"| {' | '.join([*map(Style('md').text, left), *right])} |")
    return "\n".join(lines)
