"""Own captions in a csv or tsv file, with a header or, where there is no doubt, without."""

from __future__ import annotations

import ast
import csv
import json
import warnings
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from ..csv_text import plain_cell
from ..errors import CamoeError
from .columns import KNOWN, REQUIRED, Columns
from .names import is_video_name
from .rows import Row, Unusable, rows_of
from .text import read_lines

_MAX_LINES_IN_A_CELL = 50
_WORDS_OF_A_SENTENCE = 3
_MISSING = frozenset(("nan", "null", "none", "n/a", "#n/a", "na", "<na>"))
"""What programs write into a cell that has no value."""


def csv_rows(path: Path, columns: Columns = KNOWN) -> Iterator[Row | Unusable]:
    """The captions of a csv (`.tsv`: tab-separated) file, in order; raises `CamoeError` for one that is malformed."""
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    lines: list[str] = []  # of the record at hand
    reader = csv.reader(_kept(read_lines(path), lines), delimiter=delimiter)
    try:
        header = next(reader, [])
        records: Iterator[list[str]] = reader
        if _reads_like_data(header, columns):
            records, header = chain([header], reader), [columns.names(column)[0] for column in REQUIRED]
        names = _places(header, path, delimiter, columns)
        is_empty = True
        for cells in records:
            _refuse_open_quote(lines, delimiter)
            lines.clear()
            if not cells:
                continue
            is_empty = False
            where = f"{path.name} line {reader.line_num}"
            if len(cells) != len(header):
                few = len(cells) < len(header)
                yield Unusable("too few cells" if few else "too many cells (a comma outside quotes?)", where)
                continue
            if cells[names["caption"]].count("\n") > _MAX_LINES_IN_A_CELL:
                raise csv.Error("a quote is opened and never closed")
            yield from _rows(cells, names, where, columns)
        if is_empty:
            raise CamoeError(f"{path.name} has a header and nothing below it; add a line for each caption")
    except csv.Error as error:
        reason = f"{error}; check the quotes"
        if "field limit" in str(error):
            most = csv.field_size_limit()
            reason = f"a cell is longer than {most:,} characters; close the quote that it begins with, or shorten it"
        raise CamoeError(f"{path.name} near line {reader.line_num}: {reason}") from error


def _kept(lines: Iterable[str], record: list[str]) -> Iterator[str]:
    for line in lines:
        record.append(line)
        yield line


def _refuse_open_quote(record: list[str], delimiter: str) -> None:
    """Raise `csv.Error` where the file ends within a quote, which has swallowed the lines behind it."""
    if len(record) > 1:
        try:
            list(csv.reader(record, delimiter=delimiter, strict=True))
        except csv.Error as error:
            if "unexpected end" in str(error):
                raise csv.Error("a quote is opened and never closed") from None


def _rows(cells: list[str], names: dict[str, int], where: str, columns: Columns) -> Iterator[Row | Unusable]:
    entry: dict[str, Any] = {
        name: None if cells[place].strip().casefold() in _MISSING else plain_cell(cells[place])
        for name, place in names.items()
    }
    if entry["caption"] is None:
        yield Unusable("no caption (nan, NULL or the like)", where)
        return
    entry["caption"] = _unfolded(entry["caption"], where)
    yield from rows_of(entry, where, columns)


def _reads_like_data(cells: list[str], columns: Columns) -> bool:
    """Whether a first line is no header but a video and its caption: a sentence, or the name of a video file."""
    if len(cells) != 2 or columns.named_in(cells):
        return False
    return is_video_name(cells[0].strip()) or len(cells[1].split()) >= _WORDS_OF_A_SENTENCE


def _refuse_no_header(cells: list[str], name: str, columns: Columns) -> None:
    """Raise `CamoeError` where a first line of several cells is a row of data, whose columns nobody can know."""
    is_sentence = any(len(cell.split()) >= _WORDS_OF_A_SENTENCE for cell in cells)
    if len(cells) > 1 and not columns.named_in(cells) and (is_sentence or any(map(is_video_name, cells))):
        raise CamoeError(
            f"{name} has no header: its first line is {', '.join(cells)[:200]!r}; put a line with the names of the "
            "columns above it, such as video_id,caption,split"
        )


def _unfolded(cell: str, where: str) -> Any:
    """The list or object that a program wrote into a cell (`['a', 'b']`, `["a", "b"]`), or the cell."""
    text = cell.strip()
    if text[:2] in ("['", '["') and text[-1:] != "]":
        raise CamoeError(f"{where}: the caption {text[:80]!r} begins as a list and does not end as one; correct it")
    if (text[:1], text[-1:]) not in (("[", "]"), ("{", "}")):
        return cell
    value: Any = None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                value = ast.literal_eval(text)
            except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
                if text[1:].lstrip()[:1] not in ("'", '"'):
                    return cell  # a caption in brackets
    if isinstance(value, list | dict):
        return value
    raise CamoeError(f"{where}: the caption {text[:80]!r} is neither a text nor a list of texts; correct it")


def _remedy(path: Path, found: str, wanted: str) -> str:
    """What to do with a file whose cells are not separated as its name says."""
    words = {"\t": "tabs", ",": "commas", ";": "semicolons", "|": "bars"}
    told = f"has {words[found]} between its cells"
    suffix = {"\t": ".tsv", ",": ".csv"}.get(found)
    rename = f"name it {path.with_suffix(suffix).name}, or " if suffix else ""
    return f"{told}; {rename}save it with {words[wanted]}"


def _places(header: list[str], path: Path, delimiter: str, columns: Columns) -> dict[str, int]:
    """Where our columns stand in the file."""
    if not any(cell.strip() for cell in header):
        raise CamoeError(f"{path.name} is empty; it needs the columns video_id and caption")
    try:
        return columns.places(header, path.name)
    except CamoeError:
        other = next((sign for sign in (";", "\t", "|", ",") if sign != delimiter and sign in "".join(header)), None)
        if other and len(header) == 1:
            raise CamoeError(f"{path.name} {_remedy(path, other, delimiter)}") from None
        _refuse_no_header(header, path.name, columns)
        raise
