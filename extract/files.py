"""Finding the videos of a folder."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from ..pipeline.captions.names import VideoFile, is_video_name, without_suffix
from ..pipeline.errors import CamoeError


def find_videos(folder: Path) -> list[VideoFile]:
    """All files below `folder` with a video's suffix, sorted by id (the relative path without suffix).

    Links are followed, loops of them once. Whatever bears such a name is listed, be it a pipe, a broken link or a
    folder: reading it will tell. So it will for a name that is not valid UTF-8, which is listed with escapes. Raises
    `CamoeError` when there is none, or when two have one id.
    """
    if not folder.is_dir():
        problem = "is not a folder" if folder.exists() else "does not exist"
        raise CamoeError(f"--videos {folder} {problem}; give the folder that holds the videos")
    found: dict[str, VideoFile] = {}
    for path in walk_files(folder, is_video_name):
        path = folder / escape_name(path.relative_to(folder))
        video_id = without_suffix(path.relative_to(folder).as_posix())
        if video_id in found:
            raise CamoeError(
                f"{found[video_id].path} and {path} have one id ({video_id!r}); rename or move one of them"
            )
        found[video_id] = VideoFile(video_id, path)
    if not found:
        raise CamoeError(f"--videos {folder} holds no video (looked for .mp4, .mkv, .webm, .avi, .mov, …)")
    return [found[video_id] for video_id in sorted(found)]


def walk_files(folder: Path, is_wanted: Callable[[str], bool]) -> Iterator[Path]:
    """What is called as `is_wanted` says, files and others, below `folder`; links are followed, loops of them once."""
    seen: set[tuple[int, int]] = set()
    for place, folders, files in os.walk(folder, followlinks=True, onerror=_raise):
        status = os.stat(place)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders.sort()
        for name in sorted([*files, *folders]):
            if is_wanted(name) and not name.startswith("._"):
                yield Path(place, name)


def _raise(error: OSError) -> None:
    raise CamoeError(f"{error.filename} cannot be listed ({error.strerror}); make it readable or move it away")


def escape_name(path: Path) -> Path:
    """The path with bytes that are not valid UTF-8 written as `\\xNN`, for ids and messages are text.

    No file has that name (`find_videos` refuses two with one id), so reading it fails; `is_escaped_name` tells why.
    """
    return Path(os.fsencode(path).decode("utf-8", "backslashreplace"))


def is_escaped_name(path: Path) -> bool:
    """Whether a path that does not exist was made by `escape_name` of one that does."""
    raw = re.sub(rb"\\x([0-9a-f]{2})", lambda found: bytes.fromhex(found[1].decode()), os.fsencode(path))
    return raw != os.fsencode(path) and os.path.lexists(raw)
