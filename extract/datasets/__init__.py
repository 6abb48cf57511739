"""Captions and splits: one adapter per data set, in one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from ...pipeline.captions.columns import KNOWN, Columns
from ...pipeline.captions.own import FORMATS, READERS, read_own
from ...pipeline.errors import CamoeError
from .activitynet import load_activitynet
from .base import CaptionSet
from .didemo import load_didemo
from .files import VideoFile, VideoItem
from .lsmdc import load_lsmdc
from .msrvtt import load_msrvtt
from .msvd import load_msvd
from .subtitles import NAME as SUBTITLES
from .subtitles import SECONDS, load_subtitles
from .subtitles import SUFFIXES as SUBTITLE_SUFFIXES

Adapter = Callable[[Path, list[VideoFile] | None], tuple[CaptionSet, list[VideoItem]]]

BENCHMARKS: dict[str, Adapter] = {
    "msrvtt": load_msrvtt,
    "msvd": load_msvd,
    "lsmdc": load_lsmdc,
    "didemo": load_didemo,
    "activitynet": load_activitynet,
}
"""Data sets that say themselves which captions are train, val and test."""

ADAPTERS = (*READERS, SUBTITLES, *BENCHMARKS)

__all__ = ["ADAPTERS", "BENCHMARKS", "SUBTITLES", "CaptionSet", "VideoFile", "VideoItem", "dataset_of", "load_dataset"]


def dataset_of(captions: Path) -> str | None:
    """The format that a caption file has by its suffix; `None` where that does not say it."""
    suffix = captions.suffix.lower()
    return SUBTITLES if suffix in SUBTITLE_SUFFIXES else FORMATS.get(suffix)


def load_dataset(
    name: str,
    captions: Path,
    files: list[VideoFile] | None,
    *,
    columns: Columns = KNOWN,
    subtitle_seconds: float = SECONDS,
    seed: int = 0,
    known_split: Mapping[str, int] | None = None,
) -> tuple[CaptionSet, list[VideoItem]]:
    """Captions of the data set `name`, and the video items to extract.

    `captions` is the annotation file, or the folder that holds the data set's annotation files under their published
    names. With `files` (the videos on disk) captions of other videos are left out and counted; `None` keeps all.
    `columns` says what an own table calls its columns, `subtitle_seconds` how long cues get that are joined. `seed`
    splits own data that come without splits; `known_split` (file id -> subset code) are the videos that were split
    before, and stay. Raises `CamoeError` for an unknown name and for files that are missing or cannot be read.
    """
    if name not in ADAPTERS:
        raise CamoeError(f"--dataset {name!r} does not exist; choose from {', '.join(ADAPTERS)}")
    if not captions.exists():
        raise CamoeError(f"--captions {captions} does not exist")
    if name in BENCHMARKS:
        return BENCHMARKS[name](captions, files)
    if name == SUBTITLES:
        return load_subtitles(captions, files, seconds=subtitle_seconds, seed=seed, known_split=known_split)
    if captions.is_dir():
        raise CamoeError(f"--captions {captions} is a folder; --dataset {name} needs a file")
    return read_own(captions, files, format=name, columns=columns, seed=seed, known_split=known_split)
