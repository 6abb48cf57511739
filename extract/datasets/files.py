"""Video files under the ids of a benchmark."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container

from ...pipeline.captions.names import SUFFIXES, FileIndex, VideoFile, VideoItem, is_video_name, plain_name

__all__ = ["SUFFIXES", "FileIndex", "VideoFile", "VideoItem", "by_name", "is_video_name"]


def by_name(files: list[VideoFile] | None, prefix: str = "", ids: Container[str] = ()) -> list[VideoFile] | None:
    """Files under the ids of a benchmark: the plain file name, whatever folders it lies in.

    Names may begin with `prefix`, which `ids`, those of the annotations, lack: it is taken off, unless the name as it
    stands is one of them. Files whose names are then not unique keep the ids they have.
    """
    if files is None:
        return None
    bare = [plain_name(file.id.rpartition("/")[2]) for file in files]
    names = [_id_of(name, prefix, ids, set(bare)) for name in bare]
    count = Counter(names)
    return [VideoFile(name, file.path) if count[name] == 1 else file for name, file in zip(names, files, strict=True)]


def _id_of(name: str, prefix: str, ids: Container[str], files: Container[str]) -> str:
    """`v_a` -> `a`; an id that begins with the prefix itself is kept, where its file was named without the prefix."""
    short = name.removeprefix(prefix)
    is_whole = name in ids and prefix + name not in files and (short not in ids or short in files)
    return name if is_whole else short
