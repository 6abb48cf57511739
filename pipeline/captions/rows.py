"""What one entry of an own caption file means, be it a row of a csv or an object of a json."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import CamoeError
from ..store.schema import SUBSETS
from .columns import KNOWN, Columns

_SPLITS = {
    **{"training": "train", "testing": "test"},
    **dict.fromkeys(("valid", "validation", "validate", "dev"), "val"),
}


@dataclass(frozen=True)
class Row:
    """One caption of an own file; `where` names the place for messages, `code` is the subset's (0: none is given)."""

    where: str
    video: str
    text: str
    start_s: float | None
    end_s: float | None
    code: int
    caption_id: str | None


@dataclass(frozen=True)
class Unusable:
    """A row that is left out and counted; `where` names the place, and what is wrong there."""

    reason: str
    where: str = ""


def rows_of(entry: Mapping[str, Any], where: str, columns: Columns = KNOWN) -> Iterator[Row | Unusable]:
    """The captions of one entry (values under our names): a text, a list of texts or objects, or an object with one.

    Raises `CamoeError` naming the entry for a caption, a video or a split that is none of what it may be.
    """
    for part in _expanded(entry, where, columns):
        video, text = _video(part.get("video_id"), where), _text(part.get("caption"), where)
        window = _window(part.get("start"), part.get("end"))
        if not video:
            yield Unusable("no video id", where)
        elif window is None:
            yield Unusable("start and end are no window", f"{where}: {_shown_window(part)}")
        else:
            own_id = _word(part.get("caption_id")) or None
            yield Row(where, video, text, *window, _split_code(_word(part.get("split")), where), own_id)


def _expanded(
    entry: Mapping[str, Any], where: str, columns: Columns, around: type | None = None
) -> Iterator[Mapping[str, Any]]:
    """The entry once for each of its captions."""
    value = entry.get("caption")
    if around is not None and isinstance(value, around):
        kind = "a list in a list" if around is list else "an object in an object"
        raise CamoeError(f"{where}: the caption {_shown(value)} is {kind}; give a text or a list of texts")
    if isinstance(value, list):
        for part in value or [None]:
            yield from _expanded({**entry, "caption": part}, where, columns, list)
    elif isinstance(value, dict):
        if "sentences" in value and "timestamps" in value:
            raise CamoeError(f"{where} looks like ActivityNet's sentences and timestamps; add --dataset activitynet")
        inner = columns.values(value, inside=True)
        if "caption" not in inner:
            keys = columns.spelled("caption")
            raise CamoeError(f"{where}: {_shown(value)} is no caption; it has none of the keys {keys}")
        yield from _expanded({**entry, **inner, "video_id": entry.get("video_id")}, where, columns, dict)
    else:
        yield entry


def _text(value: Any, where: str) -> str:
    if isinstance(value, str):
        return value.strip()
    if is_missing(value):
        return ""
    raise CamoeError(f"{where}: the caption is {_shown(value)}, and not a text; correct it, or take the entry out")


def _video(value: Any, where: str) -> str:
    if isinstance(value, str | int) and not isinstance(value, bool):
        return str(value).strip()
    if is_missing(value):
        return ""
    raise CamoeError(f"{where}: the video is {_shown(value)}, and not a name; correct it, or take the entry out")


def is_missing(value: Any) -> bool:
    """Whether a value says that there is none: nothing, or JSON's `null` and `NaN`."""
    if isinstance(value, str):
        return not value.strip()
    return value is None or (isinstance(value, float) and math.isnan(value))


def _word(value: Any) -> str:
    return "" if is_missing(value) else str(value).strip()


def _window(start: Any, end: Any) -> tuple[float | None, float | None] | None:
    """Start and end in seconds, both `None` for the whole video; `None` for what is no window."""
    begins, finishes = _seconds(start), _seconds(end)
    if 0 <= (begins or 0.0) < (math.inf if finishes is None else finishes) and finishes != math.inf:
        return begins, finishes
    return None


def _shown_window(part: Mapping[str, Any]) -> str:
    """`5 to 3`, as the file has it."""
    start, end = (_word(part.get(name))[:40] or "nothing" for name in ("start", "end"))
    return f"{start} to {end}"


def _seconds(value: Any) -> float | None:
    """Seconds, or `MM:SS` and `HH:MM:SS`, there also with the comma of subtitles; NaN for what is no time."""
    if is_missing(value):
        return None
    try:
        seconds = 0.0
        for part in _with_point(str(value)).split(":"):
            seconds = seconds * 60 + float(part)
        return seconds
    except ValueError:
        return math.nan


def _with_point(time: str) -> str:
    """`00:00:01,500` -> `00:00:01.500`; a bare `1,500` is left, for it may be a thousand and a half."""
    hours, colon, seconds = time.rpartition(":")
    return hours + colon + seconds.replace(",", ".") if colon else time


def _split_code(split: str, where: str) -> int:
    name = _SPLITS.get(split.lower(), split.lower())
    if name and name not in SUBSETS:
        raise CamoeError(f"{where}: split {split[:80]!r} does not exist; use {', '.join(SUBSETS)}, or nothing")
    return SUBSETS.get(name, 0)


def _shown(value: Any) -> str:
    return reprlib.repr(value)
