"""What the columns of an own table, or the keys of its objects, are called: as is known, or as is given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import CamoeError

COLUMNS: dict[str, tuple[str, ...]] = {
    "video_id": (
        *("video_id", "video", "videoid", "vid", "video_name", "file", "filename", "file_name"),
        *("video_file", "video_path", "path", "id"),
    ),
    "caption": ("caption", "captions", "sentence", "sentences", "text", "texts", "description", "descriptions"),
    "start": ("start", "start_s", "start_time"),
    "end": ("end", "end_s", "end_time"),
    "split": ("split", "subset"),
    "caption_id": ("caption_id",),
}
"""The names that a column may have, by precedence; the first is ours."""

REQUIRED = ("video_id", "caption")
_OURS = {"video": "video_id"} | {column: column for column in COLUMNS}


@dataclass(frozen=True)
class Columns:
    """The names of a file's columns; `given` maps ours to the one name that a column has there, others as known.

    `Columns.of(["video=clip_name", "caption=text"])` reads what a user says.
    """

    given: Mapping[str, str] = field(default_factory=dict)
    _seen: set[str] = field(default_factory=set, compare=False)

    @classmethod
    def of(cls, pairs: Iterable[str]) -> Columns:
        """From `OURS=THEIRS` each; raises `CamoeError` for one that is none, and for one of ours that comes twice."""
        given: dict[str, str] = {}
        for pair in pairs:
            ours, _, theirs = (part.strip() for part in pair.partition("="))
            column = _OURS.get(ours.lower())
            if column is None or not theirs:
                names = ", ".join(name for name in _OURS if name != "video_id")
                raise CamoeError(f"--caption-columns {pair!r} should be OURS=THEIRS, such as caption=text ({names})")
            if column in given:
                raise CamoeError(f"--caption-columns names the column of {ours} twice; leave one out")
            given[column] = theirs
        return cls(given)

    def names(self, column: str) -> tuple[str, ...]:
        """What `column` may be called in the file, in lower case, by precedence."""
        return (_plain(self.given[column]),) if column in self.given else COLUMNS[column]

    def places(self, header: Sequence[str], name: str) -> dict[str, int]:
        """Where our columns stand among those of the file `name`, which are called `header`.

        Raises `CamoeError` where video or caption, or a column that was given, is not among them.
        """
        plain = [_plain(cell) for cell in header]
        found = {}
        for column in COLUMNS:
            there = [plain.index(spelling) for spelling in self.names(column) if spelling in plain]
            if there:
                found[column] = there[0]
            elif column in REQUIRED or column in self.given:
                raise self.lacking(column, f"{name} has no column", f"its columns are {', '.join(header)[:200]}")
        return found

    def lacking(self, column: str, where: str, there: str) -> CamoeError:
        """The error where `column` is not there: `where` says of what, `there` what is there instead."""
        ours = "video" if column == "video_id" else column
        if column in self.given:
            return CamoeError(f"{where} {self.given[column]!r} ({there}), which --caption-columns gives for {ours}")
        return CamoeError(
            f"{where} {column!r} ({there}); it may be called {self.spelled(column)}, or "
            f"what --caption-columns {ours}=NAME says"
        )

    def spelled(self, column: str) -> str:
        """The names of a column, for messages."""
        return self.given.get(column) or ", ".join(COLUMNS[column])

    def values(self, entry: Mapping[Any, Any], *, inside: bool = False) -> dict[str, Any]:
        """The entry's values under our names; the first spelling wins.

        An object `inside` another, as a caption with its times, may have the known names beside those that are given.
        """
        plain = {_plain(key): value for key, value in reversed(list(entry.items()))}
        found = {}
        for column, known in COLUMNS.items():
            names = (*self.names(column), *known) if inside else self.names(column)
            there = [plain[name] for name in names if name in plain]
            if there:
                found[column] = there[0]
        self._seen.update(found.keys() & self.given.keys())
        return found

    def refuse_unseen(self, name: str) -> None:
        """Raise `CamoeError` for a column that was given and was in no entry of the file `name`."""
        for column in self.given.keys() - self._seen:
            raise CamoeError(f"{name} has no key {self.given[column]!r}, which --caption-columns gives for {column}")

    def named_in(self, header: Iterable[object]) -> bool:
        """Whether one of the words is a name of a column."""
        words = {_plain(word) for word in header}
        return any(words.intersection(self.names(column)) for column in COLUMNS)


KNOWN = Columns()
"""Where no names are given."""


def _plain(name: object) -> str:
    """A name as we compare it: `Video ID` is `video_id`."""
    return str(name).strip().lower().replace(" ", "_")
