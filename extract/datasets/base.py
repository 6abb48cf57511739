"""What adapters share: the annotation files of a data set, and the tools that read them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...pipeline.captions.collector import CaptionSet, Collector, subset_sizes
from ...pipeline.captions.text import read_json, read_lines, read_text, text_lines
from ...pipeline.errors import CamoeError

__all__ = [
    "Annotations",
    "CaptionSet",
    "Collector",
    "as_text",
    "read_json",
    "read_lines",
    "read_text",
    "subset_sizes",
    "text_lines",
]


class Annotations:
    """The annotation files of a data set: `captions` is their folder, or one of them."""

    def __init__(self, captions: Path) -> None:
        self.folder = captions if captions.is_dir() else captions.parent
        self._given = None if captions.is_dir() else captions
        self.read: list[Path] = []
        self.missing: list[str] = []

    def find(self, *names: str) -> Path | None:
        """The first of `names` that is in the folder, or the one that was given."""
        there = [self.folder / name for name in names if (self.folder / name).is_file()]
        if self._given in there:
            there = [self._given]
        if not there:
            self.missing.append(names[0])
            return None
        self.read.append(there[0])
        return there[0]

    def source(self, *names: str) -> Path | None:
        """Like `find`, for the file of captions, which may bear another name of the same suffix if it was given."""
        if self._given and self._given.suffix in {Path(name).suffix for name in names}:
            self.read.append(self._given)
            return self._given
        return self.find(*names)

    def optional(self, name: str) -> Path | None:
        """Like `find`, for a file that a copy may well lack: not told as missing."""
        return self.find(name) if (self.folder / name).is_file() else None

    def require(self, path: Path | None) -> Path:
        """`path`, or a `CamoeError` naming the file that was looked for last."""
        if path is None:
            raise self.lacking(self.missing[-1])
        return path

    def lacking(self, *names: str) -> CamoeError:
        """The error where none of the files that were looked for is there."""
        wanted = " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
        if self._given is None:
            return CamoeError(f"--captions {self.folder} lacks {wanted}; give the folder with the data set's own files")
        return CamoeError(
            f"--captions {self._given}: {wanted} must lie in the same folder, as the data set publishes it; for "
            "captions of your own leave --dataset out"
        )


def as_text(value: Any, what: str) -> str:
    """`value`, which should be a text; raises `CamoeError` for a number, a list or an object."""
    if isinstance(value, str):
        return value
    raise CamoeError(f"{what} is {str(value)[:80]!r}, and not a text; is the file whole, and of this data set?")
