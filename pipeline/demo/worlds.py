"""The built-in worlds: how the clips of each size are made, drawn and captioned, and which CLIP knows them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ..errors import CamoeError
from . import captions, render, world
from .hard import captions as hard_captions
from .hard import render as hard_render
from .hard import world as hard_world


class AnyClip(Protocol):
    """What a clip of any world has."""

    @property
    def video_id(self) -> str: ...

    @property
    def subset(self) -> str: ...


@dataclass(frozen=True)
class World:
    """`make_clips(size, seed)`, `render_clip(clip)` as frames (T, H, W, 3) uint8, `captions_of(clip)`; `weights` is the
    built-in CLIP that was trained on it, `sampling` the options with which `camoe-extract` sees the whole of a clip."""

    make_clips: Callable[[str, int], list[Any]]
    render_clip: Callable[[Any], np.ndarray]
    captions_of: Callable[[Any], list[str]]
    weights: str
    sampling: tuple[str, ...]


PLAIN = World(world.make_clips, render.render_clip, captions.captions_of, weights="tiny", sampling=("--fps", "4"))
HARD = World(
    hard_world.make_clips,
    hard_render.render_clip,
    hard_captions.captions_of,
    weights="tiny-hard",
    sampling=("--fps", "4", "--max-frames", "16"),
)
WORLDS: dict[str, World] = dict.fromkeys(world.SIZES, PLAIN) | dict.fromkeys(hard_world.SIZES, HARD)
"""By size of dataset."""


def world_of(size: str) -> World:
    """The world that has this size; raises CamoeError for an unknown one."""
    if size not in WORLDS:
        raise CamoeError(f"there is no demo size {size!r}; choose from {', '.join(WORLDS)}")
    return WORLDS[size]
