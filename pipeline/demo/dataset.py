"""Writes the demo's dataset: real H.264 files and a caption table, as a user's own folder would hold them."""

from __future__ import annotations

import csv
import os
import subprocess
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..atomic import atomic_path
from ..children import end_with_parent
from ..cores import usable_cores
from ..errors import CamoeError, RunStoppedError
from ..ffmpeg_binary import find_ffmpeg
from .render import RESOLUTION
from .world import FRAMES_PER_SECOND
from .worlds import AnyClip, World, world_of

CAPTION_FILE = "captions.csv"
VIDEO_FOLDER = "videos"
CLIPS_PER_CHILD = 16
ZEROED_MEMORY = {"MALLOC_PERTURB_": "255"}
"""x264 reads memory that it never wrote beside the last column of a picture this narrow; glibc then hands out zeros.

Without it, one clip in a few thousand came out with other pixels than in the run before.
"""


@dataclass(frozen=True)
class Dataset:
    """Where a written dataset lies, and what it shows."""

    videos: Path
    captions: Path
    clips: list[AnyClip]


def write_dataset(
    folder: Path | str,
    size: str = "default",
    seed: int = 0,
    *,
    ffmpeg: str | None = None,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Dataset:
    """Renders the clips into `folder`/videos/*.mp4 and writes `folder`/captions.csv (video_id, caption, split).

    `workers` processes render and encode (default: one per core); `progress` is told clips done and clips in all.
    Raises CamoeError for an unknown size, a folder that already holds a dataset, or a missing ffmpeg;
    RunStoppedError where ffmpeg fails.
    """
    world = world_of(size)
    clips: list[AnyClip] = world.make_clips(size, seed)
    binary = find_ffmpeg(ffmpeg, prefer_bundled=True)
    dataset = Dataset(Path(folder) / VIDEO_FOLDER, Path(folder) / CAPTION_FILE, clips)
    if dataset.captions.exists():
        raise CamoeError(f"{dataset.captions} already exists; name another folder or remove it")
    dataset.videos.mkdir(parents=True, exist_ok=True)
    groups = [clips[start : start + CLIPS_PER_CHILD] for start in range(0, len(clips), CLIPS_PER_CHILD)]
    done = 0
    with ProcessPoolExecutor(workers or usable_cores(), initializer=end_with_parent) as pool:
        for written in pool.map(partial(write_videos, world=world, folder=dataset.videos, ffmpeg=binary), groups):
            done += written
            if progress is not None:
                progress(done, len(clips))
    _write_captions(dataset, world)
    return dataset


def write_videos(clips: list[AnyClip], world: World, folder: Path, ffmpeg: str) -> int:
    """Renders the clips and encodes each into `folder`/<video_id>.mp4, all by one ffmpeg child; returns how many.

    One child for several clips, because starting ffmpeg costs as much as encoding a clip.
    """
    with tempfile.TemporaryDirectory(prefix="camoe-demo-") as raw:
        for clip in clips:
            (Path(raw) / clip.video_id).write_bytes(world.render_clip(clip).tobytes())
        command = _encode_command([clip.video_id for clip in clips], Path(raw), folder, ffmpeg)
        zeroed = os.environ | ZEROED_MEMORY
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, env=zeroed)
    if done.returncode != 0:
        message = done.stderr.decode(errors="replace").strip() or f"exit status {done.returncode}"
        raise RunStoppedError(f"ffmpeg could not write {clips[0].video_id}.mp4 or a later clip to {folder}: {message}")
    return len(clips)


def _encode_command(video_ids: list[str], raw: Path, folder: Path, ffmpeg: str) -> list[str]:
    import ffmpeg as arguments

    picture = {
        "format": "rawvideo",
        "pix_fmt": "rgb24",
        "s": f"{RESOLUTION}x{RESOLUTION}",
        "r": FRAMES_PER_SECOND,
    }
    coding = {"vcodec": "libx264", "preset": "veryfast", "crf": 20, "pix_fmt": "yuv420p", "threads": 1}
    bare = {"flags": "+bitexact", "fflags": "+bitexact", "map_metadata": -1}
    outputs = [
        arguments.input(f"file:{raw / name}", threads=1, **picture).video.output(
            f"file:{folder.resolve() / name}.mp4", **coding, **bare
        )
        for name in video_ids
    ]
    # One thread for colours too: the pixels are then made by no more than one thread anywhere.
    alone = ("-filter_threads", "1", "-hide_banner", "-v", "error")
    merged = arguments.merge_outputs(*outputs).global_args(*alone).overwrite_output()
    command: list[str] = merged.compile(cmd=ffmpeg)
    return command


def _write_captions(dataset: Dataset, world: World) -> None:
    """Last of all and whole: a folder with a caption file holds every clip."""
    with atomic_path(dataset.captions) as aside, aside.open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream)
        table.writerow(["video_id", "caption", "split"])
        for clip in dataset.clips:
            table.writerows([clip.video_id, caption, clip.subset] for caption in world.captions_of(clip))
