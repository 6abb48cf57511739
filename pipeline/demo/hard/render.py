"""Draws clips of the harder world: each thing in its column, the first event in the first half, then the second."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ..render import EXPOSURE_SECONDS, RESOLUTION, SUBFRAMES, Array, Pose, background, compose, draw
from .world import COLUMNS, HardClip

CENTRES = {"left": -0.62, "middle": 0.0, "right": 0.62}
RADIUS = 0.29
_LOW, _HIGH = 0.42, -0.42


def poses(clip: HardClip) -> list[Callable[[float], Pose]]:
    """Each thing's pose as a function of time in [0, 1]."""
    rng = np.random.default_rng([clip.seed, 2])
    motions = {event.actor: (event.motion, number) for number, event in enumerate(clip.events)}
    found: list[Callable[[float], Pose]] = []
    for place, column in enumerate(clip.columns):
        rest = Pose(
            x=CENTRES[column] + float(rng.uniform(-0.06, 0.06)),
            y=float(rng.uniform(-0.2, 0.2)),
            radius=RADIUS * float(rng.uniform(0.92, 1.08)),
        )
        turns = float(rng.uniform(0.8, 1.4))
        found.append(_acting(rest, *motions[place], turns) if place in motions else _still(rest))
    return found


def _still(rest: Pose) -> Callable[[float], Pose]:
    return lambda t: rest


def _acting(rest: Pose, motion: str, half: int, turns: float) -> Callable[[float], Pose]:
    """Still outside its half of the clip, in motion within."""
    path = _PATHS[motion]

    def pose(t: float) -> Pose:
        return path(rest, min(1.0, max(0.0, 2 * t - half)), turns)

    return pose


def _between(start: float, end: float, t: float) -> float:
    return start + (end - start) * t


_PATHS: dict[str, Callable[[Pose, float, float], Pose]] = {
    "rise": lambda rest, t, _: replace(rest, y=_between(_LOW, _HIGH, t)),
    "fall": lambda rest, t, _: replace(rest, y=_between(_HIGH, _LOW, t)),
    "grow": lambda rest, t, _: replace(rest, radius=rest.radius * _between(0.55, 1.3, t)),
    "shrink": lambda rest, t, _: replace(rest, radius=rest.radius * _between(1.3, 0.55, t)),
    "appear": lambda rest, t, _: replace(rest, opacity=_between(0.12, 1.0, t)),
    "vanish": lambda rest, t, _: replace(rest, opacity=_between(1.0, 0.12, t)),
    "spin": lambda rest, t, turns: replace(rest, angle=2 * np.pi * turns * t),
    "shake": lambda rest, t, turns: replace(
        rest, x=rest.x + 0.09 * np.sin(12 * np.pi * turns * t), angle=0.35 * np.sin(12 * np.pi * turns * t)
    ),
    "flash": lambda rest, t, turns: replace(rest, glow=0.5 - 0.5 * np.cos(6 * np.pi * turns * t)),
}
"""Each motion's pose at `t` from 0, before, to 1, after; `turns` is drawn for each thing."""


def draw_scene(clip: HardClip, times: list[float]) -> Array:
    """Frames (len(times), RESOLUTION, RESOLUTION, 3) uint8 of the clip at `times` in [0, 1]."""
    scenery = background(clip.background, np.random.default_rng([clip.seed, 4]))
    pose_at, exposure = poses(clip), EXPOSURE_SECONDS / clip.duration_seconds
    order = sorted(range(3), key=lambda place: COLUMNS.index(clip.columns[place]))
    frames = np.empty((len(times), RESOLUTION, RESOLUTION, 3), np.uint8)
    for frame, time in zip(frames, times, strict=True):
        picture = scenery
        for place in order:
            paint = np.zeros((3, RESOLUTION, RESOLUTION), np.float32)
            for shift in np.linspace(-0.5, 0.5, SUBFRAMES).tolist():
                draw(paint, clip.things[place].shape, pose_at[place](time + shift * exposure), 1 / SUBFRAMES)
            picture = compose(picture, paint, clip.things[place].colour)
        frame[:] = np.clip(picture + 0.5, 0, 255)
    return frames


def render_clip(clip: HardClip) -> Array:
    """All frames of the clip, (frame_count, RESOLUTION, RESOLUTION, 3) uint8, `world.FRAMES_PER_SECOND` a second."""
    return draw_scene(clip, [(i + 0.5) / clip.frame_count for i in range(clip.frame_count)])
