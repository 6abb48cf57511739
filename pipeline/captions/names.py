"""Video files, and how the names in a caption file find them."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from pathlib import Path

from ..errors import CamoeError

SUFFIXES = frozenset(
    (
        *(".mp4", ".m4v", ".mkv", ".webm", ".avi", ".mov", ".qt", ".wmv", ".asf", ".flv", ".f4v", ".mpg", ".mpeg"),
        *(".mpe", ".m2v", ".ts", ".mts", ".m2ts", ".3gp", ".3gpp", ".3g2", ".ogv", ".ogg", ".vob", ".gif", ".mxf"),
        *(".y4m", ".divx", ".", ".null"),
    )
)
"""What may end a video's name; a name of another form is an id with a dot in it. DiDeMo's uploads, named as their
owners named them, end in a bare dot or in `.null`, too."""


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


def without_suffix(name: str) -> str:
    """`clips/a.mp4` -> `clips/a`, `a.` -> `a`; a name that does not end as a video's does stays as it is."""
    stem, dot, suffix = name.rpartition(".")
    is_video = bool(dot) and stem.rpartition("/")[2] != "" and f".{suffix.lower()}" in SUFFIXES
    return stem if is_video else name


def is_video_name(name: str) -> bool:
    """Whether a file of this name (without folders) is listed as a video."""
    return without_suffix(name) != name


def plain_name(name: str) -> str:
    """The id that a name in a caption file stands for: `./clips\\a.mp4` -> `clips/a`."""
    return without_suffix(name.strip().replace("\\", "/").removeprefix("./").lstrip("/"))


class FileIndex:
    """Finds a file by id, with or without suffix or folders, however its accents are encoded.

    Where the folders of a name are not those of the file (`/data/clip.mp4`, written elsewhere), the file name decides.
    """

    def __init__(self, files: list[VideoFile]) -> None:
        self.files = files
        self._by_id = {file.id: file for file in files}
        self._by_form: dict[str, list[VideoFile]] = {}
        self._by_stem: dict[str, list[VideoFile]] = {}
        for file in files:
            self._by_form.setdefault(_composed(file.id), []).append(file)
            self._by_stem.setdefault(_composed(file.id.rpartition("/")[2]), []).append(file)
        self._said: dict[str, str] = {}
        """How each file was called that was found, with folders."""

    def find(self, name: str) -> VideoFile | None:
        """The file that `name` means, or `None`.

        Raises `CamoeError` if it could mean several, and if an earlier name with other folders meant the same file.
        """
        file = self.match(name)
        if file is not None and "/" in (plain := _composed(plain_name(name))):
            said = self._said.setdefault(file.id, plain)
            if not _agree(said, plain):
                raise CamoeError(
                    f"videos {said!r} and {plain!r} of the captions would both be {file.id}, the only file of that "
                    "name; write their paths below --videos in the captions"
                )
        return file

    def match(self, name: str) -> VideoFile | None:
        """The file that `name` means by itself, or `None`; raises `CamoeError` if it could mean several."""
        plain = plain_name(name)
        for exact in (name, without_suffix(name.strip()), plain):  # a backslash may be part of a name
            if exact in self._by_id:
                return self._by_id[exact]
        composed, plain = _composed(name), _composed(plain)
        for index, key in (
            (self._by_form, composed),
            (self._by_form, plain),
            (self._by_stem, composed.rpartition("/")[2]),
            (self._by_stem, plain.rpartition("/")[2]),
        ):
            found = index.get(key, [])
            if len(found) > 1:
                found = [file for file in found if _agree(_composed(file.id), plain)] or found
            if len(found) > 1:
                both = f"{found[0].id} or {found[1].id}"
                raise CamoeError(f"video {name!r} could be {both}; write its path below --videos in the captions")
            if found:
                return found[0]
        return None


def _agree(one: str, other: str) -> bool:
    """Whether one path is the end of the other: `clips/a` and `data/clips/a`."""
    return f"/{one}".endswith(f"/{other}") or f"/{other}".endswith(f"/{one}")


def _composed(name: str) -> str:
    """One form for an accent of its own and for a letter that has it: macOS writes file names in the other one."""
    return unicodedata.normalize("NFC", name)
