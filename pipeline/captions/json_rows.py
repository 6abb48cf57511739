"""Own captions in a json file: objects, one a line or in a list; captions by video; the layouts of COCO and MSR-VTT."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from ..errors import CamoeError
from .columns import COLUMNS, KNOWN, REQUIRED, Columns
from .rows import Row, Unusable, rows_of
from .text import parse_json, read_lines, read_text

_MSRVTT_ID = re.compile(r"video\d+")
_OWNERS = ("image_id", *(name for name in COLUMNS["video_id"] if name != "id"))
"""Keys that name the video of an annotation; its `id` is its own."""
LINES = (".jsonl", ".ndjson")
"""What the names of files with an object a line end in."""


def json_rows(path: Path, columns: Columns = KNOWN) -> Iterator[Row | Unusable]:
    """The captions of a json file, or of one with an object a line, in order.

    Raises `CamoeError` naming the entry that is no caption of a video.
    """
    for where, entry in _entries(path, columns):
        if not isinstance(entry, dict):
            raise CamoeError(f"{where} is {str(entry)[:80]!r}, and not an object with a video and a caption")
        row = columns.values(entry)
        for column in REQUIRED:
            if column not in row:
                raise columns.lacking(column, f"{where} has no", f"its keys are {', '.join(map(str, entry))[:200]}")
        yield from rows_of(row, where, columns)
    columns.refuse_unseen(path.name)


def _entries(path: Path, columns: Columns) -> Iterator[tuple[str, Any]]:
    """The place and the object of each entry."""
    content = None if path.suffix.lower() in LINES else _parsed(path)
    if content is None:
        for number, line in enumerate(read_lines(path), start=1):
            if line.strip():
                yield f"{path.name} line {number}", parse_json(line, f"{path.name} line {number}")
        return
    table = _table(content, path, columns)
    if table is not None:
        yield from ((f"{path.name}: entry {number}", entry) for number, entry in enumerate(table, start=1))
    else:
        names = [columns.names(column)[0] for column in REQUIRED]
        for video, captions in content.items():
            yield f"{path.name}: entry {video!r}", dict(zip(names, (video, captions), strict=True))


def _parsed(path: Path) -> Any:
    """The content; `None` where there is an object a line, whatever the file is called."""
    text = read_text(path)
    try:
        content = json.loads(text, object_pairs_hook=_distinct)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" and "\n" in text[: error.pos]:
            return None
        raise CamoeError(f"{path.name} is not JSON ({error})") from error
    except (ValueError, RecursionError) as error:
        raise CamoeError(f"{path.name} is not JSON ({error})") from error
    if not isinstance(content, dict | list):
        raise CamoeError(f"{path.name} holds neither a list of objects nor an object of captions")
    return content


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object, unless one of its keys comes twice: JSON would keep the last and drop the others."""
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice[:80]!r} comes twice in one object; give its captions as one list")
    return found


def _table(content: dict[str, Any] | list[Any], path: Path, columns: Columns) -> list[Any] | None:
    """The list of objects in a file, wherever it lies; `None` for `{video: captions}`."""
    if isinstance(content, list):
        return content
    if columns.values(content).keys() >= set(REQUIRED):
        if all(isinstance(value, list | dict) for value in content.values()):
            raise CamoeError(f"{path.name} holds columns; save one object a caption (in pandas: orient='records')")
        return [content]
    tables = {key: value for key, value in content.items() if _are_annotations(value, columns)}
    if not tables:
        return None
    if len(tables) > 1:
        raise CamoeError(f"{path.name} holds several lists of captions ({', '.join(tables)}); keep one of them")
    annotations = next(iter(tables.values()))
    if all(_MSRVTT_ID.fullmatch(_owner(entry, columns)) for entry in annotations):
        raise CamoeError(f"{path.name} looks like MSR-VTT's annotations; add --dataset msrvtt")
    return _with_videos(content, annotations, columns)


def _are_annotations(value: Any, columns: Columns) -> bool:
    if not (isinstance(value, list) and value and all(isinstance(entry, dict) for entry in value)):
        return False
    return all(_owner(entry, columns) and "caption" in columns.values(entry) for entry in islice(value, 100))


def _owner(entry: Mapping[str, Any], columns: Columns) -> str:
    """The video of an annotation; what it calls `id` is its own, unless that name is given for the video."""
    if "video_id" in columns.given:
        return str(columns.values(entry).get("video_id", ""))
    return next((str(entry[key]) for key in _OWNERS if key in entry), "")


def _with_videos(
    content: Mapping[str, Any], annotations: list[dict[str, Any]], columns: Columns
) -> list[dict[str, Any]]:
    """Annotations with the file name and the split that the list of videos (COCO: images) gives for their ids."""
    about: dict[str, dict[str, Any]] = {}
    for key in ("images", "videos"):
        listed = content.get(key)
        for entry in listed if isinstance(listed, list) else ():
            if isinstance(entry, dict):
                known = columns.values(entry, inside=True)
                facts = {columns.names(name)[0]: known[name] for name in ("video_id", "split") if name in known}
                about |= {str(entry[name]): facts for name in ("id", "video_id") if name in entry}
    name = columns.names("video_id")[0]
    owners = [_owner(entry, columns) for entry in annotations]
    return [{**entry, name: owner, **about.get(owner, {})} for entry, owner in zip(annotations, owners, strict=True)]
