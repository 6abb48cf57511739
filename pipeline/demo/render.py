"""Draws the demo's clips with numpy: signed distances, a dark outline, and blur along the motion.

Space runs from -1 to 1 with y downwards, time from 0 to 1 over a clip. Mirrored motions are one path run backwards,
so a single frame never tells which of the two it belongs to.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from .world import Clip

RESOLUTION = 96
EXPOSURE_SECONDS = 0.2
SUBFRAMES = 4
RADIUS = {"small": 0.27, "medium": 0.36, "large": 0.46}

Array = np.ndarray
RGB = {
    "red": (222, 28, 32),
    "orange": (255, 140, 10),
    "yellow": (252, 232, 40),
    "green": (30, 190, 60),
    "blue": (40, 60, 225),
    "purple": (135, 40, 170),
    "pink": (255, 135, 195),
    "black": (28, 28, 30),
}
_DARK, _LIGHT = (18.0, 18.0, 22.0), (235.0, 235.0, 235.0)


@dataclass(frozen=True)
class Pose:
    """Where and how an object is at one moment: centre, radius, stretch (above 1: wider and flatter), angle in
    radians, opacity and glow (both 0 to 1)."""

    x: float
    y: float
    radius: float
    angle: float = 0.0
    stretch: float = 1.0
    opacity: float = 1.0
    glow: float = 0.0


Trajectory = Callable[[float], Pose]


def _star(x: Array, y: Array) -> Array:
    sector = np.abs((np.arctan2(x, -y) + np.pi / 5) % (2 * np.pi / 5) - np.pi / 5)
    distance = np.hypot(x, y)
    return ((distance * np.cos(sector) - 1) * 0.264 + distance * np.sin(sector) * 0.636) / 0.689


def _heart(x: Array, y: Array) -> Array:
    x, y, half = np.abs(x), y - 0.08, 0.55
    lobe = half / np.sqrt(2)
    return np.minimum((x + np.abs(y)) / np.sqrt(2) - half, np.hypot(x - lobe, y + lobe) - half)


def _cross(x: Array, y: Array) -> Array:
    x, y = np.abs(x), np.abs(y)
    return np.minimum(np.maximum(x - 0.32, y - 0.92), np.maximum(y - 0.32, x - 0.92))


SHAPE_DISTANCES: dict[str, Callable[[Array, Array], Array]] = {
    "circle": lambda x, y: np.hypot(x, y) - 0.9,
    "square": lambda x, y: np.maximum(np.abs(x), np.abs(y)) - 0.78,
    "triangle": lambda x, y: np.maximum(y - 0.65, (1.6 * np.abs(x) - 0.9 * (y + 0.95)) / 1.836),
    "star": _star,
    "cross": _cross,
    "ring": lambda x, y: np.abs(np.hypot(x, y) - 0.66) - 0.26,
    "heart": _heart,
    "moon": lambda x, y: np.maximum(np.hypot(x, y) - 0.9, 0.75 - np.hypot(x - 0.45, y)),
}
"""Signed distance from the edge, negative inside, of the shape of radius 1 at local coordinates."""


def trajectory(clip: Clip) -> Trajectory:
    """The moving object's pose as a function of time in [0, 1] of its clip."""
    rng = np.random.default_rng([clip.seed, 2])
    forward, path = _PATHS[clip.combination.motion]
    beside = 0.0 if clip.other is None else 0.35
    rest = Pose(
        x=float(rng.uniform(-0.25, 0.25)) - beside,
        y=float(rng.uniform(-0.25, 0.25)),
        radius=RADIUS[clip.size] * float(rng.uniform(0.92, 1.08)),
    )
    pose = path(rest, clip, rng)
    return pose if forward else lambda t: pose(1.0 - t)


def _slide(rest: Pose, clip: Clip, rng: np.random.Generator) -> Trajectory:
    reach = rng.uniform(0.45, 0.65)
    y = rest.y if clip.other is None else rest.y - 0.3
    return lambda t: replace(rest, x=reach * (2 * t - 1), y=y)


def _rise(rest: Pose, clip: Clip, rng: np.random.Generator) -> Trajectory:
    reach = rng.uniform(0.45, 0.65)
    return lambda t: replace(rest, y=reach * (1 - 2 * t))


def _grow(rest: Pose, clip: Clip, rng: np.random.Generator) -> Trajectory:
    gain = rng.uniform(0.85, 1.05)
    return lambda t: replace(rest, radius=rest.radius * (0.5 + gain * t))


def _appear(rest: Pose, clip: Clip, rng: np.random.Generator) -> Trajectory:
    first = rng.uniform(0.12, 0.2)
    return lambda t: replace(rest, opacity=min(1.0, first + 0.85 * t))


def _spin(rest: Pose, clip: Clip, rng: np.random.Generator) -> Trajectory:
    turns, start = rng.uniform(0.8, 1.6) * rng.choice((-1, 1)), rng.random()
    return lambda t: replace(rest, angle=2 * math.pi * (turns * t + start))


def _bounce(rest: Pose, clip: Clip, rng: np.random.Generator) -> Trajectory:
    jumps, start = rng.uniform(1.6, 3.2), rng.random()

    def pose(t: float) -> Pose:
        height = abs(math.sin(math.pi * (jumps * t + start)))
        squeeze = max(0.0, 1 - 2 * height)
        return replace(rest, y=0.45 - 0.75 * height, stretch=1 + 0.6 * squeeze - 0.25 * min(height * 2, 1.0))

    return pose


def _shake(rest: Pose, clip: Clip, rng: np.random.Generator) -> Trajectory:
    swings, start = clip.duration_seconds * rng.uniform(3.5, 5.0), rng.random()

    def pose(t: float) -> Pose:
        swing = math.sin(2 * math.pi * (swings * t + start))
        return replace(rest, x=rest.x + 0.11 * swing, angle=0.3 * swing)

    return pose


def _flash(rest: Pose, clip: Clip, rng: np.random.Generator) -> Trajectory:
    flashes, start = clip.duration_seconds * rng.uniform(1.1, 1.6), rng.random()
    return lambda t: replace(rest, glow=0.5 + 0.5 * math.sin(2 * math.pi * (flashes * t + start)))


_PATHS: dict[str, tuple[bool, Callable[[Pose, Clip, np.random.Generator], Trajectory]]] = {
    "right": (True, _slide),
    "left": (False, _slide),
    "rise": (True, _rise),
    "fall": (False, _rise),
    "grow": (True, _grow),
    "shrink": (False, _grow),
    "appear": (True, _appear),
    "vanish": (False, _appear),
    "spin": (True, _spin),
    "bounce": (True, _bounce),
    "shake": (True, _shake),
    "flash": (True, _flash),
}
"""For each motion whether its path is run forwards, and the path."""


def _pose_of_other(clip: Clip) -> Pose:
    rng = np.random.default_rng([clip.seed, 3])
    return Pose(x=float(rng.uniform(0.58, 0.7)), y=float(rng.uniform(0.45, 0.65)), radius=0.26)


def background(name: str, rng: np.random.Generator) -> Array:
    """Texture (RESOLUTION, RESOLUTION, 3), float32 0 to 255."""
    noise = rng.standard_normal((RESOLUTION, RESOLUTION), dtype=np.float32)
    rows = np.arange(RESOLUTION, dtype=np.float32)[:, None]
    if name == "sand":
        base, grain = (212, 184, 128), noise * 16
    elif name == "grass":
        base, grain = (
            (74, 122, 52),
            (noise + np.roll(noise, 1, 0) + np.roll(noise, 2, 0) + np.roll(noise, 3, 0)) * 12,
        )
    elif name == "water":
        waves = np.sin(rows * rng.uniform(0.45, 0.65) + np.sin(rows.T * 0.12 + rng.uniform(0, 6)) * 1.5)
        base, grain = (64, 128, 176), waves * 22 + noise * 3
    else:
        base, grain = (226, 232, 240), -70 * (noise > 2.2).astype(np.float32) + noise * 3
    return np.asarray(base, np.float32) + grain[..., None] + np.float32(rng.uniform(-12, 12))


_FILL, _OUTLINE, _WHITE = range(3)


def draw(paint: Array, shape: str, pose: Pose, weight: float) -> None:
    """Adds the object to `paint` (3, RESOLUTION, RESOLUTION): how much of fill, outline and white covers each pixel."""
    centre_x, centre_y = (pose.x + 1) * RESOLUTION / 2, (pose.y + 1) * RESOLUTION / 2
    radius = pose.radius * RESOLUTION / 2
    reach = radius * (1.15 if pose.glow == 0 and pose.stretch == 1 else 1.6) + 2
    left, right = max(0, int(centre_x - reach)), min(RESOLUTION, int(centre_x + reach) + 1)
    top, bottom = max(0, int(centre_y - reach)), min(RESOLUTION, int(centre_y + reach) + 1)
    if left >= right or top >= bottom:
        return
    x = ((np.arange(left, right, dtype=np.float32) + 0.5 - centre_x) / radius)[None, :]
    y = ((np.arange(top, bottom, dtype=np.float32) + 0.5 - centre_y) / radius)[:, None]
    cos, sin = np.float32(math.cos(pose.angle)), np.float32(math.sin(pose.angle))
    local_x, local_y = (
        (x * cos + y * sin) / np.float32(pose.stretch),
        (y * cos - x * sin) * np.float32(pose.stretch),
    )
    distance = SHAPE_DISTANCES[shape](local_x, local_y)
    inside = np.clip(0.5 - distance * radius, 0, 1) * np.float32(pose.opacity * weight)
    outline = inside * ((distance > -0.15) | ((np.abs(local_x) < 0.1) & (local_y < 0)))
    glow = np.float32(0.55 * pose.glow)
    window = paint[:, top:bottom, left:right]
    window[_OUTLINE] += outline
    window[_FILL] += (inside - outline) * (1 - glow)
    if pose.glow > 0:
        halo = 0.8 * pose.glow * np.clip(1.55 - np.hypot(local_x, local_y), 0, 1) * (np.float32(weight) - inside)
        window[_WHITE] += (inside - outline) * glow + halo


def compose(scenery: Array, paint: Array, colour: str) -> Array:
    """Paint (3, H, W) of an object of that colour over scenery (H, W, 3)."""
    outline = _LIGHT if colour == "black" else _DARK
    palette = np.asarray((RGB[colour], outline, (255, 255, 255)), np.float32)
    return scenery * (1 - paint.sum(axis=0))[..., None] + np.moveaxis(paint, 0, -1) @ palette


def draw_scene(clip: Clip, times: list[float]) -> Array:
    """Frames (len(times), RESOLUTION, RESOLUTION, 3) uint8 of the clip at `times` in [0, 1]."""
    scenery = background(clip.combination.background, np.random.default_rng([clip.seed, 4]))
    if clip.other is not None:
        resting = np.zeros((3, RESOLUTION, RESOLUTION), np.float32)
        draw(resting, clip.other[0], _pose_of_other(clip), 1.0)
        scenery = compose(scenery, resting, clip.other[1])
    pose_at, exposure = trajectory(clip), EXPOSURE_SECONDS / clip.duration_seconds
    shifts = np.linspace(-0.5, 0.5, SUBFRAMES).tolist()
    frames = np.empty((len(times), RESOLUTION, RESOLUTION, 3), np.uint8)
    for frame, time in zip(frames, times, strict=True):
        moving = np.zeros((3, RESOLUTION, RESOLUTION), np.float32)
        for shift in shifts:
            draw(moving, clip.combination.shape, pose_at(time + shift * exposure), 1 / SUBFRAMES)
        frame[:] = np.clip(compose(scenery, moving, clip.combination.colour) + 0.5, 0, 255)
    return frames


def render_clip(clip: Clip) -> Array:
    """All frames of the clip, (frame_count, RESOLUTION, RESOLUTION, 3) uint8, `world.FRAMES_PER_SECOND` a second."""
    return draw_scene(clip, [(i + 0.5) / clip.frame_count for i in range(clip.frame_count)])
