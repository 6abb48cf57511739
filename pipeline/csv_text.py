"""Text in the csv files that we write: what a spreadsheet would run as a formula is marked as text."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence

_FORMULA = re.compile(r"'*[=+\-@\t\r\n]")


def safe_cell(text: str) -> str:
    """`=1+1` -> `'=1+1`: spreadsheets take a leading apostrophe as "this is text"; `plain_cell` takes it off again."""
    return f"'{text}" if _FORMULA.match(text) else text


def plain_cell(cell: str) -> str:
    """What `safe_cell` was given; other cells as they are."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def csv_text(rows: Iterable[Sequence[str]]) -> str:
    """Rows of texts as csv: formulas marked, NUL written out as `\\u0000`, since readers of csv stumble over it."""
    return "".join(_line([safe_cell(cell).replace("\0", "\\u0000") for cell in row]) for row in rows)


def _line(cells: Sequence[str]) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\r\n").writerow(cells)  # so that a cell with either character is quoted
    return stream.getvalue().removesuffix("\r\n") + "\n"
