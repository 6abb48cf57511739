"""The frames that CLIP4Clip's loader takes of a video: those that OpenCV's seeks by frame number lead to.

It takes `int(rate)` frames for a second (29.97 -> 29), the rate being the average one, and seeks to the numbers
`second * int(rate)` (`rawvideo_util.py`). OpenCV reaches a number by seeking to a keyframe, working out that frame's
number from its time and the average rate, and reading on from there. At a constant rate that is the frame of the
number; at a variable one it is another.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count, pairwise

_FRAMES_BEFORE = 16
"""How far before the wanted number OpenCV first seeks (`cap_ffmpeg_impl.hpp`)."""


@dataclass(frozen=True)
class FrameTable:
    """When each frame is shown and which are keyframes, both increasing and in units of `time_base_s`.

    `rate` is the average in frames a second, `total` the number of frames that the file announces.
    """

    shown: Sequence[int]
    keyframes: Sequence[int]
    time_base_s: float
    rate: float
    total: int

    @cached_property
    def has_constant_rate(self) -> bool:
        """Whether frames follow one another at the average rate, to the rounding of the time base."""
        gap = 1 / (self.rate * self.time_base_s)
        return all(abs(later - earlier - gap) < 1 + 1e-6 * gap for earlier, later in pairwise(self.shown))

    def reached(self, number: int) -> int:
        """The index of the frame that OpenCV reads after a seek to `number`; it may lie past the last one."""
        number = min(number, self.total)
        if number < 2 or self.has_constant_rate:
            return number
        before = _FRAMES_BEFORE
        while True:
            from_number = max(number - before, 0)
            keyframe = self._keyframe_before(from_number)
            passed = int(self.rate * (keyframe - self.shown[0]) * self.time_base_s + 0.5)
            if passed < number or from_number == 0:
                return bisect_left(self.shown, keyframe) + max(1, number - passed)
            before = before * 3 // 2

    def _keyframe_before(self, number: int) -> int:
        wanted = self.shown[0] + int(number / self.rate / self.time_base_s + 0.5)
        place = bisect_right(self.keyframes, wanted)
        return self.keyframes[max(0, place - 1)] if self.keyframes else self.shown[0]


def clip4clip_frames(table: FrameTable, *, fps: float, start_s: float = 0.0, end_s: float | None = None) -> list[int]:
    """Indices of the frames that CLIP4Clip takes of the seconds from `start_s` up to, not with, `end_s`.

    For `fps` above one they are `fps` evenly spaced numbers of each second.
    """
    frames: list[int] = []
    for number in _numbers(table, fps, start_s, end_s):
        index = table.reached(number)
        if index >= len(table.shown):
            break
        frames.append(index)
    return frames


def _numbers(table: FrameTable, fps: float, start_s: float, end_s: float | None) -> Iterator[int]:
    a_second, offsets = clip4clip_steps(table.rate, fps)
    last_second = -(-table.total // a_second)
    for second in count(int(start_s)):
        if second > last_second or (end_s is not None and second >= end_s):
            return
        yield from (second * a_second + offset for offset in offsets)


def clip4clip_steps(frame_rate: float, fps: float) -> tuple[int, list[int]]:
    """Frames that count as a second, and the offsets of those taken in each."""
    a_second = max(1, int(frame_rate))
    wanted = max(1, int(fps))
    interval = max(1, a_second // wanted)
    return a_second, list(range(0, a_second, interval))[:wanted]
