"""A table of numbers as the page shows it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Cell:
    """A number as it is shown, the line below it, and the value that it is sorted by."""

    text: str
    below: str = ""
    value: float | None = None
    best: bool = False


@dataclass(frozen=True)
class Row:
    """A table's row: what its first cell says, whether it is only there for comparison, and its numbers."""

    label: str
    cells: list[Cell]
    reference: bool = False
    note: str = ""


@dataclass(frozen=True)
class Table:
    """A titled table; all columns but the first are numbers."""

    title: str
    columns: list[str]
    rows: list[Row] = field(default_factory=list)


def signed(value: float) -> str:
    """`+1.2`, `−1.2`, and `0.0` of what is that when rounded."""
    text = f"{value:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", "−")
