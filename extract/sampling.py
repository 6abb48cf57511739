"""Which frames of a video are kept.

Candidates lie on a grid: for the time policies one every `1 / fps` seconds from 0 s, the frame at each grid point
being the first one shown at or after it; for `clip4clip` the frames that its code seeks to (`clip4clip.py`). A policy
then picks at most `max_frames` of the `n` grid points.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

TIME_TOLERANCE_S = 1e-3
"""A frame this little before a grid point still counts as at it: containers round times, some to milliseconds."""

MAX_FRAMES = 4096
"""Frames kept of one video, at most: their list must fit into a command line, and they into a chunk of the store."""


def _uniform(n: int, max_frames: int) -> list[int]:
    if n <= max_frames:
        return list(range(n))
    picked: list[int] = np.linspace(0, n - 1, max_frames, dtype=int).tolist()
    return picked


def _head(n: int, max_frames: int) -> list[int]:
    return list(range(min(n, max_frames)))


def _tail(n: int, max_frames: int) -> list[int]:
    return list(range(max(0, n - max_frames), n))


SAMPLING: dict[str, Callable[[int, int], list[int]]] = {
    "uniform": _uniform,
    "head": _head,
    "tail": _tail,
    "clip4clip": _uniform,
}
"""Policy -> the grid points, of `n`, that are kept."""

CLIP4CLIP = "clip4clip"


def pick_frames(times_s: Sequence[float], *, fps: float, max_frames: int, sampling: str) -> list[int]:
    """Indices into `times_s` (increasing, one frame per grid point or fewer) of the frames that are kept.

    A grid point without a frame of its own takes the next frame; a frame is kept once.
    """
    if not times_s:
        return []
    points = SAMPLING[sampling](grid_points(times_s[-1], fps), max_frames)
    starts = np.array(points) / fps - TIME_TOLERANCE_S
    picked = np.searchsorted(np.asarray(times_s), starts, side="left")
    return sorted({int(index) for index in picked if index < len(times_s)})


def grid_points(last_time_s: float, fps: float) -> int:
    """How many grid points have a frame at or after them, given the time of the last frame."""
    return int(np.floor((last_time_s + TIME_TOLERANCE_S) * fps)) + 1
