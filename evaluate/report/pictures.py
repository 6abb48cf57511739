"""The page's thumbnails: which are shown is told first, then each video is decoded once, for those frames alone."""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ...pipeline.atomic import write_atomic
from ...pipeline.cores import usable_cores
from ...pipeline.errors import CamoeError
from ...pipeline.ffmpeg_binary import find_ffmpeg
from ...pipeline.store import FeatureStore
from .folder import PICTURES

if TYPE_CHECKING:
    import numpy as np

    from ...extract.child import Children
    from ...extract.ffmpeg import Binary
    from .frames import Source

QUALITY = 82
LEFT_OUT = "pictures were left out (--no-pictures)"


def check_videos(videos: Path | None) -> None:
    """Raise `CamoeError` where the folder that is named for the videos is none."""
    if videos is not None and not videos.is_dir():
        raise CamoeError(f"--videos {videos} is not a folder; give the one that camoe-extract read")


@dataclass(frozen=True)
class Frame:
    """A frame that the page shows: its place among the encoded ones, and its second in the file, NaN if unknown."""

    video_id: str
    place: int
    time_s: float = field(compare=False)


@dataclass(frozen=True)
class Tile:
    """What stands for a frame: an image's address relative to the page, or why there is none."""

    image: str | None
    reason: str = ""


@dataclass
class Pictures:
    """Collects frames by `frame`, takes them out of the videos by `make`, and then knows each one's `tile`."""

    store: FeatureStore
    root: Path | None
    sources: list[Source]
    _wanted: dict[str, dict[int, Frame]] = field(default_factory=dict)
    _tiles: dict[Frame, Tile] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._row = {video_id: row for row, video_id in enumerate(self.store.video_ids)}
        self._times = self.store.frame_times()
        self._count = self.store.frame_count

    @classmethod
    def of(cls, store: FeatureStore, videos: Path | None) -> Pictures:
        """Of a store whose files lie in `videos`, or where that is none, near the store."""
        from .frames import find_folder, sources

        listed = sources(store)
        return cls(store, videos or find_folder(store, listed), listed)

    def frame(self, video_id: str, place: int) -> Frame:
        """Ask for one frame."""
        row = self._row[video_id]
        found = Frame(video_id, place, float(self._times[row, place]) + self.sources[row].start_s)
        self._wanted.setdefault(video_id, {})[place] = found
        return found

    def frame_count(self, video_id: str) -> int:
        """How many frames of a video were encoded."""
        return int(self._count[self._row[video_id]])

    def middle(self, video_id: str) -> Frame:
        """The frame in the middle of a video."""
        return self.frame(video_id, (self.frame_count(video_id) - 1) // 2)

    def strip(self, video_id: str) -> list[Frame]:
        """All encoded frames of a video."""
        return [self.frame(video_id, place) for place in range(self.frame_count(video_id))]

    def tile(self, frame: Frame) -> Tile:
        """What stands for a frame."""
        return self._tiles.get(frame, Tile(None, LEFT_OUT))

    @property
    def videos(self) -> int:
        """Of how many videos a frame is wanted."""
        return len(self._wanted)

    @property
    def missing(self) -> list[str]:
        """Why tiles are grey, each reason once."""
        return list(dict.fromkeys(tile.reason for tile in self._tiles.values() if tile.image is None))

    @property
    def shown(self) -> set[str]:
        """Addresses of the images that were made, relative to the page."""
        return {tile.image for tile in self._tiles.values() if tile.image is not None}

    def make(self, out: Path, advance: Callable[[], object]) -> None:
        """Write the images that are not there yet into `out`/pictures; `advance` is called after each video."""
        from ...extract.child import Children
        from ...extract.ffmpeg import inspect_binary

        folder = out / PICTURES
        folder.mkdir(parents=True, exist_ok=True)
        binary = inspect_binary(find_ffmpeg(prefer_bundled=True))
        children = Children()

        def one(video_id: str) -> dict[Frame, Tile]:
            frames = sorted(self._wanted[video_id].values(), key=lambda frame: frame.time_s)
            return self._make_video(video_id, frames, folder, binary, children)

        with _pool(children) as pool:
            for done in pool.map(one, self._wanted):
                self._tiles |= done
                advance()

    def _make_video(
        self, video_id: str, frames: list[Frame], folder: Path, binary: Binary, children: Children
    ) -> dict[Frame, Tile]:
        from ...extract.reasons import FrameDecodeError
        from .frames import decode_at

        source = self.sources[self._row[video_id]]
        names = {frame: _name(frame, source) for frame in frames}
        try:
            path = source.find(self.root)
            if any(math.isnan(frame.time_s) for frame in frames):
                raise FrameDecodeError("the store does not say when its frames are shown")
            todo = [frame for frame in frames if not (folder / names[frame]).exists()]
            if todo:
                images = decode_at(binary, path, [frame.time_s for frame in todo], children)
                for frame, image in zip(todo, images, strict=True):
                    write_atomic(folder / names[frame], _jpeg(image))
        except FrameDecodeError as error:
            return {frame: Tile(None, error.reason) for frame in frames}
        return {frame: Tile(f"{PICTURES}/{names[frame]}") for frame in frames}


@contextmanager
def _pool(children: Children) -> Iterator[ThreadPoolExecutor]:
    """Threads that end with their ffmpeg processes, however the context is left."""
    pool = ThreadPoolExecutor(usable_cores())
    try:
        yield pool
    except BaseException:
        children.cancel()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _name(frame: Frame, source: Source) -> str:
    """A file name that changes with the file and the time; no letter of it comes from an id or a path."""
    of = (frame.video_id, source.path, source.size, source.fingerprint, f"{frame.time_s:.4f}")
    return hashlib.sha256(repr(of).encode()).hexdigest()[:20] + ".jpg"


def _jpeg(image: np.ndarray) -> bytes:
    from PIL import Image

    packed = io.BytesIO()
    Image.fromarray(image).save(packed, "JPEG", quality=QUALITY)
    return packed.getvalue()
