"""The very frames that were encoded, taken out of the source files at their stored times; or why that cannot be."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from ...extract.child import Children, read_frames
from ...extract.ffmpeg import Binary, frames_command
from ...extract.ffmpeg_log import Pass
from ...extract.reasons import FrameDecodeError
from ...extract.sampling import TIME_TOLERANCE_S
from ...extract.selection import list_select
from ...extract.video_file import open_regular
from ...pipeline.captions.names import without_suffix
from ...pipeline.checksum import fingerprint
from ...pipeline.store import FeatureStore

SIDE = 160
TIMEOUT_S = 60.0
CLOSE_S = 0.02
"""How far a frame's time may be from the stored one: rounding, not another frame."""
SEEK_WORTH_S = 7.0
"""Seconds of video that cost about as much as a seek."""
NEAR = (".", "videos", "..", "../videos")
_TRIED = 20
_WINDOW = re.compile(r"@(\d+(?:\.\d+)?)?-(?:\d+(?:\.\d+)?)?")


@dataclass(frozen=True)
class Source:
    """Where a video's file is said to lie, and how it was: `path` relative to the videos' folder, `size` in bytes.

    The video begins at `start_s` of the file; `fingerprint` is empty where it is not known.
    """

    path: str
    size: int
    fingerprint: str
    start_s: float

    def find(self, root: Path | None) -> Path:
        """The file, unchanged; raises `FrameDecodeError` with a sentence otherwise."""
        if not self.path:
            raise FrameDecodeError("the store does not say which file it is of")
        if root is None:
            raise FrameDecodeError("the videos' folder is not known; name it with --videos")
        pure = PurePosixPath(self.path)
        if pure.is_absolute() or ".." in pure.parts or "\0" in self.path:
            raise FrameDecodeError(f"{self.path} does not lie in the videos' folder")
        path = root / self.path
        try:
            if path.stat().st_size != self.size or (self.fingerprint and fingerprint(path) != self.fingerprint):
                raise FrameDecodeError(f"{self.path} has changed since it was extracted")
        except FileNotFoundError:
            raise FrameDecodeError(f"{self.path} is not there any more") from None
        except OSError as error:
            raise FrameDecodeError(f"{self.path} cannot be read ({error.strerror})") from None
        return path


def sources(store: FeatureStore) -> list[Source]:
    """Of the store's videos, in their order."""
    columns = (store.video_column(name) for name in ("source", "source_size", "fingerprint"))
    return [
        Source(path.decode(), int(size), mark.decode(), _window_start(video_id, path.decode()))
        for video_id, path, size, mark in zip(store.video_ids, *columns, strict=True)
    ]


def _window_start(video_id: str, source: str) -> float:
    """Where in its file a video begins: `clips/a@3.5-9` of `clips/a.mp4` at 3.5 s, a whole file at 0."""
    window = _WINDOW.fullmatch(video_id.removeprefix(without_suffix(source)))
    return float(window[1] or 0) if window else 0.0


def find_folder(store: FeatureStore, listed: list[Source]) -> Path | None:
    """A folder near the store, or the working folder, that holds one of the first sources with the recorded size."""
    for start in (store.shards[0].path.absolute().parent, Path.cwd()):
        for name in NEAR:
            folder = (start / name).resolve()
            if any(_is_there(folder / source.path, source.size) for source in listed[:_TRIED]):
                return folder
    return None


def _is_there(path: Path, size: int) -> bool:
    try:
        return path.is_file() and path.stat().st_size == size
    except (OSError, ValueError):
        return False


def decode_at(binary: Binary, path: Path, times_s: list[float], children: Children) -> np.ndarray:
    """`(n, SIDE, SIDE, 3)` uint8: the frames shown at `times_s`, ascending seconds of the file, cropped as for CLIP.

    One pass, or where they lie far apart one seek each. Raises `FrameDecodeError` where the file has no such frames.
    """
    far_apart = times_s[-1] - times_s[0] > SEEK_WORTH_S * len(times_s)
    groups = [[time_s] for time_s in times_s] if far_apart else [times_s]
    descriptor, _ = open_regular(path)
    try:
        found = [_one_pass(binary, path, descriptor, group, children) for group in groups]
    finally:
        os.close(descriptor)
    return np.concatenate(found)


def _one_pass(binary: Binary, path: Path, descriptor: int, times_s: list[float], children: Children) -> np.ndarray:
    seek_s = max(0.0, times_s[0] - TIME_TOLERANCE_S)
    relative = [time_s - seek_s for time_s in times_s]

    def command(mark: str, times_to: int) -> list[str]:
        return frames_command(
            binary, str(path.absolute()), mark=mark, times_to=times_to, select=list_select(relative),
            resolution=SIDE, seek_s=seek_s, limit=len(times_s),
        )  # fmt: skip

    result: Pass = read_frames(children, command, descriptor, timeout_s=TIMEOUT_S, resolution=SIDE)
    if len(result.frames) != len(times_s) or any(
        abs(found - wanted) > CLOSE_S for found, wanted in zip(result.times_s, relative, strict=True)
    ):
        raise FrameDecodeError(f"{path.name} has no frame at the stored time any more")
    return np.stack(result.frames)
