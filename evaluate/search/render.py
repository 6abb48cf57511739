"""Results as a table for the terminal, as csv, as json."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, fields

from ...pipeline.csv_text import csv_text
from .records import CaptionHit, Hit

LEFT = ("id", "video_id", "path", "text")
Hits = Sequence[Hit] | Sequence[CaptionHit]


def as_json(hits: Hits) -> str:
    """A list of objects, with the records' names."""
    return json.dumps([asdict(hit) for hit in hits], indent=2, ensure_ascii=False)


def as_csv(hits: Hits) -> str:
    """A header and a line for each result."""
    rows = [asdict(hit) for hit in hits] or [dict.fromkeys(item.name for item in fields(Hit))]
    cells = [["" if value is None else str(value) for value in row.values()] for row in rows[: len(hits)]]
    return csv_text([list(rows[0]), *cells]).rstrip("\n")


def as_table(hits: Hits) -> str:
    """Aligned columns; the last one is as long as it is."""
    if not hits:
        return "nothing found"
    names = list(asdict(hits[0]))
    rows = [names, *([_cell(name, value) for name, value in asdict(hit).items()] for hit in hits)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(names))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if name in LEFT else cell.rjust(width)
            for name, cell, width in zip(names, row, widths, strict=True)
        ).rstrip()
        for row in rows
    )


def _cell(name: str, value: object) -> str:
    if value is None:
        return "-"
    if name == "score":
        return f"{value:.2f}"
    if name == "moment_s":
        return f"{value:.2f}"
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in str(value))
