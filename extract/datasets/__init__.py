"""Captions and splits: one adapter per data set, in one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from ...pipeline.errors import CamoeError
from .activitynet import load_activitynet
from .base import CaptionSet
from .didemo import load_didemo
from .files import VideoFile, VideoItem
from .lsmdc import load_lsmdc
from .msrvtt import load_msrvtt
from .msvd import load_msvd
from .own import load_csv, load_json

Adapter = Callable[..., tuple[CaptionSet, list[VideoItem]]]

ADAPTERS: dict[str, Adapter] = {
    "csv": load_csv,
    "json": load_json,
    "msrvtt": load_msrvtt,
    "msvd": load_msvd,
    "lsmdc": load_lsmdc,
    "didemo": load_didemo,
    "activitynet": load_activitynet,
}

__all__ = ["ADAPTERS", "CaptionSet", "VideoFile", "VideoItem", "load_dataset"]


def load_dataset(
    name: str,
    captions: Path,
    files: list[VideoFile] | None,
    *,
    seed: int = 0,
    known_split: Mapping[str, int] | None = None,
) -> tuple[CaptionSet, list[VideoItem]]:
    """Captions of the data set `name`, and the video items to extract.

    `captions` is the annotation file, or the folder that holds the data set's annotation files under their published
    names. With `files` (the videos on disk) captions of other videos are left out and counted; `None` keeps all.
    `seed` splits own data that come without splits. Raises `CamoeError` for an unknown name and for files that are
    missing or cannot be read.
    """
    if name not in ADAPTERS:
        raise CamoeError(f"--dataset {name!r} does not exist; choose from {', '.join(ADAPTERS)}")
    if not captions.exists():
        raise CamoeError(f"--captions {captions} does not exist")
    if captions.is_dir() and name in ("csv", "json"):
        raise CamoeError(f"--captions {captions} is a folder; --dataset {name} needs a file")
    if name in ("csv", "json"):
        return ADAPTERS[name](captions, files, seed, known_split or {})
    return ADAPTERS[name](captions, files, seed)
