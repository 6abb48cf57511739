"""Video files, and how the ids of a data set find them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from ...pipeline.errors import CamoeError

SUFFIXES = frozenset(
    [
        ".mp4",
        ".m4v",
        ".mkv",
        ".webm",
        ".avi",
        ".mov",
        ".qt",
        ".wmv",
        ".asf",
        ".flv",
        ".f4v",
        ".mpg",
        ".mpeg",
        ".mpe",
        ".m2v",
        ".ts",
        ".mts",
        ".m2ts",
        ".3gp",
        ".3g2",
        ".ogv",
        ".ogg",
        ".vob",
        ".gif",
        ".mxf",
        ".y4m",
        ".divx",
    ]
)
"""What may end a video's name in an annotation file; a name of another form is an id with a dot in it."""


@dataclass(frozen=True)
class VideoFile:
    """A video on disk; `id` is its path relative to the videos' folder, without suffix, with `/`."""

    id: str
    path: Path


@dataclass(frozen=True)
class VideoItem:
    """What becomes one row of the store: a file, or the window of it from `start_s` to `end_s` (seconds)."""

    id: str
    path: Path
    start_s: float | None = None
    end_s: float | None = None


class FileIndex:
    """Finds a file by id, with or without suffix or folders."""

    def __init__(self, files: list[VideoFile]) -> None:
        self.files = files
        self._by_id = {file.id: file for file in files}
        self._by_stem: dict[str, list[VideoFile]] = {}
        for file in files:
            self._by_stem.setdefault(file.id.rpartition("/")[2], []).append(file)

    @staticmethod
    def plain(name: str) -> str:
        """The id that a name in an annotation file stands for: `./clips\\a.mp4` -> `clips/a`; `a.` -> `a`."""
        name = name.strip().replace("\\", "/").removeprefix("./").lstrip("/")
        stem, dot, suffix = name.rpartition(".")
        return stem if dot and stem and (not suffix or f".{suffix.lower()}" in SUFFIXES) else name

    def find(self, name: str) -> VideoFile | None:
        """The file that `name` means, or `None`; raises `CamoeError` if it could mean several."""
        exact = self._by_id.get(name)
        if exact:
            return exact
        plain = self.plain(name)
        if plain in self._by_id:
            return self._by_id[plain]
        for stem in (name.rpartition("/")[2], plain.rpartition("/")[2]):
            found = self._by_stem.get(stem, [])
            if len(found) > 1:
                both = f"{found[0].id} or {found[1].id}"
                raise CamoeError(f"video {name!r} could be {both}; write its path below --videos in the captions")
            if found:
                return found[0]
        return None


def by_name(files: list[VideoFile] | None, prefix: str = "") -> list[VideoFile] | None:
    """Files under the ids of a benchmark: the plain file name, without `prefix`, whatever folders it lies in.

    Files whose names are not unique keep the ids they have.
    """
    if files is None:
        return None
    names = [FileIndex.plain(file.id.rpartition("/")[2]).removeprefix(prefix) for file in files]
    count = Counter(names)
    return [VideoFile(name, file.path) if count[name] == 1 else file for name, file in zip(names, files, strict=True)]
