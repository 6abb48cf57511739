"""A sweep's folder as parts of a page: its overview's words, tables and plots, as camoe-sweep wrote them."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup, escape

from ...pipeline.errors import CamoeError
from ..names import COSTS
from .folder import write_page
from .page import render
from .tables import Cell, Row, Table

NOTE, OVERVIEW, FOLDER = "sweep.json", "overview.md", "report"
LINK = f"As a page: [{FOLDER}/index.html]({FOLDER}/index.html)."
"""The line of an overview that leads to its page."""
_RULE = re.compile(r"\|(:?-+:?\|)+")
_CELLS = re.compile(r"(?<!\\)\|")
_NUMBER = re.compile(r"-?\d+(\.\d+)?")


@dataclass(frozen=True)
class Part:
    """A heading, paragraphs, a table, notes below it and pictures (as addresses that hold them); any may be missing."""

    title: str
    text: list[Markup]
    table: Table | None
    notes: list[Markup]
    images: list[tuple[str, str]]


def is_sweep(path: Path) -> bool:
    """Whether a folder is a sweep's."""
    return (path / NOTE).is_file()


def read_sweep(path: Path) -> list[Part]:
    """The overview of a sweep; raises `CamoeError` where it has none yet."""
    try:
        text = (path / OVERVIEW).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise CamoeError(
            f"{path / OVERVIEW} cannot be read ({reason}); the same camoe-sweep command writes it"
        ) from None
    return [_part(block, path) for block in _blocks(text)]


def write_sweep_page(path: Path) -> Path:
    """Write the page of a sweep's folder into it."""
    return write_page(path / FOLDER, render({"title": path.resolve().name, "sweeps": [read_sweep(path)]}))


def _blocks(text: str) -> list[list[str]]:
    """Lines under each heading; pictures at the end go by themselves."""
    blocks: list[list[str]] = []
    for line in text.splitlines():
        if line.startswith("#") or not blocks:
            blocks.append([])
        blocks[-1].append(line)
    return blocks


def _part(lines: list[str], folder: Path) -> Part:
    head = lines[0].lstrip("#").strip() if lines[0].startswith("#") else ""
    body = lines[1:] if head else lines
    table = [line for line in body if line.startswith("|")]
    pictures = [name for line in body for name in re.findall(r"^!\[[^\]]*\]\(plots/([^)/]+)\.png\)$", line)]
    above = body.index(table[0]) if table else len(body)
    return Part(
        title=head,
        text=_words(body[:above]),
        table=_table(table) if len(table) > 2 else None,
        notes=_words(body[above:]),
        images=[(name, address) for name in pictures if (address := _image(folder / "plots" / f"{name}.svg"))],
    )


def _words(lines: list[str]) -> list[Markup]:
    words = [line for line in lines if line.strip() and line != LINK and not line.startswith(("|", "!["))]
    return [inline(line.strip()) for line in _joined(words)]


def _joined(lines: list[str]) -> list[str]:
    """Indented lines belong to the one before."""
    found: list[str] = []
    for line in lines:
        if line.startswith("  ") and found:
            found[-1] += " " + line.strip()
        else:
            found.append(line)
    return found


def _table(lines: list[str]) -> Table:
    columns, *rows = [_split(line) for line in lines if not _RULE.fullmatch(line.replace(" ", ""))]
    labels = sum(name.split(" ")[0] not in ("T2V", "V2T") and name not in COSTS for name in columns)
    return Table(
        "",
        columns[labels:],
        [
            Row(" · ".join(text for text in row[:labels] if text), [_cell(text) for text in row[labels:]])
            for row in rows
        ],
    )


def _split(line: str) -> list[str]:
    return [cell.strip().replace(r"\|", "|") for cell in _CELLS.split(line.strip())[1:-1]]


def _cell(text: str) -> Cell:
    number = _NUMBER.search(text.replace(",", ""))  # of thousands
    return Cell(text.replace("**", ""), "", float(number[0]) if number else None, best="**" in text)


def inline(text: str) -> Markup:
    """A line of our own Markdown: `**bold**` and `` `code` ``, all else escaped."""
    escaped = str(escape(text.removeprefix("- ")))
    escaped = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", escaped)
    return Markup(re.sub(r"`(.+?)`", r"<code>\1</code>", escaped))


def _image(path: Path) -> str | None:
    """A picture as an address that holds it: as an image, whatever is in it runs nothing."""
    try:
        return "data:image/svg+xml;base64," + base64.b64encode(path.read_bytes()).decode()
    except OSError:
        return None
