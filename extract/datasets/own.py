"""Own data: a csv or json of `video_id, caption`, optionally `start, end, split`."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...pipeline.errors import CamoeError
from ...pipeline.store.schema import SUBSETS
from .base import CaptionSet, Collector, read_json
from .files import VideoFile, VideoItem
from .splits import split_videos

COLUMNS = {
    "video_id": ("video_id", "video", "videoid", "file", "filename"),
    "caption": ("caption", "sentence", "text", "description"),
    "start": ("start", "start_s", "start_time"),
    "end": ("end", "end_s", "end_time"),
    "split": ("split", "subset"),
}
"""The names that a column may have; the first is ours."""

_SPLITS = {"training": "train", "valid": "val", "validation": "val", "dev": "val", "testing": "test"}
_MAX_LINES_IN_A_CELL = 50

Row = dict[str, Any]


def load_csv(
    captions: Path, files: list[VideoFile] | None, seed: int, known: dict
) -> tuple[CaptionSet, list[VideoItem]]:
    """Own captions in a csv (or `.tsv`) file with a header."""
    collector = Collector(files)
    return _collect(captions, _csv_rows(captions, collector), collector, seed, known)


def load_json(
    captions: Path, files: list[VideoFile] | None, seed: int, known: dict
) -> tuple[CaptionSet, list[VideoItem]]:
    """Own captions as a list of objects, a file of one object a line, or an object `{video: caption or [captions]}`."""
    collector = Collector(files)
    return _collect(captions, _json_rows(captions, collector), collector, seed, known)


def _collect(
    path: Path, rows: Iterator[tuple[int, Row]], collector: Collector, seed: int, known: dict
) -> tuple[CaptionSet, list[VideoItem]]:
    """Rows to captions; duplicates are left out, and without any `split` the videos are split by seed."""
    seen: set[int] = set()
    split_of: dict[str, int] = {}
    has_split = False
    for line, row in rows:
        video, text = _cell(row, "video_id"), _cell(row, "caption")
        if not video:
            collector.skipped["no video id"] += 1
            continue
        window = (_seconds(row.get("start")), _seconds(row.get("end")))
        if not _is_window(*window):
            collector.skipped["start and end are no window"] += 1
            continue
        code = _split_code(_cell(row, "split"), path, line)
        has_split = has_split or code != 0
        key = hash((video, text, window))
        if text and key in seen:
            collector.skipped["duplicate row"] += 1
            continue
        seen.add(key)
        if collector.add(video, text, {"own": code}, window=window):
            item = collector.videos()[-1]
            if split_of.setdefault(item, code) != code:
                raise CamoeError(f"{path.name} line {line}: video {item} is in two splits; give each video one")
    if not has_split:
        code_of_file = split_videos(map(collector.file_of, set(collector.videos())), seed, known)
        collector.assign("own", {item: code_of_file[collector.file_of(item)] for item in set(collector.videos())})
    return collector.finish([path])


def _cell(row: Row, column: str) -> str:
    value = row.get(column)
    return "" if value is None else str(value).strip()


def _seconds(value: Any) -> float | None:
    """Seconds, or `MM:SS` and `HH:MM:SS`; NaN for what is no time."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        seconds = 0.0
        for part in str(value).split(":"):
            seconds = seconds * 60 + float(part)
        return seconds
    except ValueError:
        return math.nan


def _is_window(start: float | None, end: float | None) -> bool:
    begins = 0.0 if start is None else start
    finishes = math.inf if end is None else end
    return 0 <= begins < finishes and math.isfinite(begins) and (end is None or math.isfinite(end))


def _split_code(split: str, path: Path, line: int) -> int:
    name = split.lower()
    name = _SPLITS.get(name, name)
    if name and name not in SUBSETS:
        raise CamoeError(
            f"{path.name} line {line}: split {split!r} does not exist; use {', '.join(SUBSETS)}, or nothing"
        )
    return SUBSETS.get(name, 0)


# --- csv


def _csv_rows(path: Path, collector: Collector) -> Iterator[tuple[int, Row]]:
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    reader = csv.reader(_lines(path), delimiter=delimiter)
    try:
        header = next(reader, [])
        names = _columns(header, path, delimiter)
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(header):
                few = len(cells) < len(header)
                collector.skipped["too few cells" if few else "too many cells (a comma outside quotes?)"] += 1
                continue
            row = {name: cells[place] for name, place in names.items()}
            if row["caption"].count("\n") > _MAX_LINES_IN_A_CELL:
                raise csv.Error("a quote is opened and never closed")
            yield reader.line_num, row
    except csv.Error as error:
        raise CamoeError(f"{path.name} near line {reader.line_num}: {error}; check the quotes") from error


def _lines(path: Path) -> Iterator[str]:
    number = 0
    try:
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as stream:
            for line in stream:
                number += 1
                line.encode()
                yield line.replace("\0", "")
    except UnicodeError as error:
        raise CamoeError(f"{path.name} line {number} is not UTF-8 text (Latin-1?); save the file as UTF-8") from error
    except OSError as error:
        raise CamoeError(f"--captions {path} cannot be read: {error.strerror}") from error


def _columns(header: list[str], path: Path, delimiter: str) -> dict[str, int]:
    """Where our columns stand in the file."""
    names = [cell.strip().lower() for cell in header]
    if not any(names):
        raise CamoeError(f"{path.name} is empty; it needs the columns video_id and caption")
    found = {}
    for column, spellings in COLUMNS.items():
        places = [names.index(spelling) for spelling in spellings if spelling in names]
        if places:
            found[column] = places[0]
    for column in ("video_id", "caption"):
        if column not in found:
            other = next(
                (sign for sign in (";", "\t", "|", ",") if sign != delimiter and sign in "".join(header)), None
            )
            if other and len(header) == 1:
                raise CamoeError(
                    f"{path.name} seems to be separated by {other!r}; save it with {delimiter!r} between cells"
                )
            raise CamoeError(f"{path.name} has no column {column!r} (its columns are {', '.join(names)})")
    return found


# --- json


def _json_rows(path: Path, collector: Collector) -> Iterator[tuple[int, Row]]:
    for line, entry in enumerate(_json_entries(path), start=1):
        if not isinstance(entry, dict):
            collector.skipped["no object"] += 1
            continue
        lower = {str(key).strip().lower(): value for key, value in entry.items()}
        row = {
            column: lower[spelling]
            for column, spellings in COLUMNS.items()
            for spelling in reversed(spellings)
            if spelling in lower
        }
        if "video_id" not in row or "caption" not in row:
            lacking = "video_id" if "video_id" not in row else "caption"
            raise CamoeError(
                f"{path.name}: entry {line} has no {lacking!r} (its keys are {', '.join(map(str, entry))})"
            )
        texts = row["caption"] if isinstance(row["caption"], list) else [row["caption"]]
        for text in texts:
            yield line, {**row, "caption": text}


def _json_entries(path: Path) -> Iterator[Any]:
    """The objects of a list or of a `.jsonl` file; `{video: captions}` as objects."""
    if path.suffix.lower() == ".jsonl":
        yield from _json_lines(path)
        return
    content = read_json(path)
    if isinstance(content, dict):
        yield from ({"video_id": video, "caption": texts} for video, texts in content.items())
    elif isinstance(content, list):
        yield from content
    else:
        raise CamoeError(f"{path.name} holds neither a list of objects nor an object of captions")


def _json_lines(path: Path) -> Iterator[Any]:
    for number, line in enumerate(_lines(path), start=1):
        if line.strip():
            try:
                yield json.loads(line)
            except (json.JSONDecodeError, RecursionError) as error:
                raise CamoeError(f"{path.name} line {number} is not JSON ({error})") from error
