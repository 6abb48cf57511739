"""Own captions in a json file: objects, one a line or in a list; captions by video; the layouts of COCO and MSR-VTT."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from ..errors import CamoeError
from .rows import COLUMNS, Row, Unusable, columns_of, rows_of, spellings
from .text import parse_json, read_lines, read_text

_MSRVTT_ID = re.compile(r"video\d+")
_OWNERS = ("image_id", *(name for name in COLUMNS["video_id"] if name != "id"))
"""Keys that name the video of an annotation; its `id` is its own."""


def json_rows(path: Path) -> Iterator[Row | Unusable]:
    """The captions of a json file, or of one with an object a line, in order.

    Raises `CamoeError` naming the entry that is no caption of a video.
    """
    for where, entry in _entries(path):
        if not isinstance(entry, dict):
            raise CamoeError(f"{where} is {str(entry)[:80]!r}, and not an object with a video and a caption")
        row = columns_of(entry)
        for column in ("video_id", "caption"):
            if column not in row:
                keys = ", ".join(map(str, entry))[:200]
                raise CamoeError(
                    f"{where} has no {column!r} (its keys are {keys}); it may be called {spellings(column)}"
                )
        yield from rows_of(row, where)


def _entries(path: Path) -> Iterator[tuple[str, Any]]:
    """The place and the object of each entry."""
    content = None if path.suffix.lower() == ".jsonl" else _parsed(path)
    if content is None:
        for number, line in enumerate(read_lines(path), start=1):
            if line.strip():
                yield f"{path.name} line {number}", parse_json(line, f"{path.name} line {number}")
        return
    table = _table(content, path)
    if table is not None:
        yield from ((f"{path.name}: entry {number}", entry) for number, entry in enumerate(table, start=1))
    else:
        for video, captions in content.items():
            yield f"{path.name}: entry {video!r}", {"video_id": video, "caption": captions}


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


def _table(content: dict[str, Any] | list[Any], path: Path) -> list[Any] | None:
    """The list of objects in a file, wherever it lies; `None` for `{video: captions}`."""
    if isinstance(content, list):
        return content
    if "video_id" in columns_of(content) and "caption" in columns_of(content):
        if all(isinstance(value, list | dict) for value in content.values()):
            raise CamoeError(f"{path.name} holds columns; save one object a caption (in pandas: orient='records')")
        return [content]
    tables = {key: value for key, value in content.items() if _are_annotations(value)}
    if not tables:
        return None
    if len(tables) > 1:
        raise CamoeError(f"{path.name} holds several lists of captions ({', '.join(tables)}); keep one of them")
    annotations = next(iter(tables.values()))
    if all(_MSRVTT_ID.fullmatch(_owner(entry)) for entry in annotations):
        raise CamoeError(f"{path.name} looks like MSR-VTT's annotations; add --dataset msrvtt")
    return _with_videos(content, annotations)


def _are_annotations(value: Any) -> bool:
    if not (isinstance(value, list) and value and all(isinstance(entry, dict) for entry in value)):
        return False
    return all(_owner(entry) and "caption" in columns_of(entry) for entry in islice(value, 100))


def _owner(entry: Mapping[str, Any]) -> str:
    return next((str(entry[key]) for key in _OWNERS if key in entry), "")


def _with_videos(content: Mapping[str, Any], annotations: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Annotations with the file name and the split that the list of videos (COCO: images) gives for their ids."""
    about: dict[str, dict[str, Any]] = {}
    for key in ("images", "videos"):
        listed = content.get(key)
        for entry in listed if isinstance(listed, list) else ():
            if isinstance(entry, dict):
                known = columns_of(entry)
                facts: dict[str, Any] = {column: known[column] for column in ("video_id", "split") if column in known}
                about |= {str(entry[name]): facts for name in ("id", "video_id") if name in entry}
    return [{**entry, "video_id": _owner(entry), **about.get(_owner(entry), {})} for entry in annotations]
