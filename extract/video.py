"""From one video file to its sampled frames, whatever the file is like.

Most videos take one pass: ffmpeg decodes them and hands over the frames on the sampling grid, of which the policy
keeps some. A long video, of which few frames are wanted, is not decoded whole: its last frame is looked up, the grid
points are worked out from that, and each is reached by a seek. Both ways keep the same frames.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

import numpy as np

from .child import Children, read_frames, read_output
from .clip4clip import FrameTable, clip4clip_frames
from .ffmpeg import Binary, frames_command, rate_command, scan_command, times_command
from .ffmpeg_log import Pass
from .ffmpeg_output import MatroskaRate, Packets, ShownTimes
from .reasons import FrameDecodeError, explain
from .resize import CLIP_RESIZE, Resize
from .sampling import CLIP4CLIP, SAMPLING, TIME_TOLERANCE_S, grid_points, pick_frames
from .selection import grid_select, list_select, number_select
from .video_file import open_regular

__all__ = ["DecodedVideo", "Decoder", "FrameDecodeError", "Window"]

SEEK_COST_S = 7.0
"""Video seconds whose decoding costs about as much as one seek (benchmarks/long_video.py measures it)."""
MAX_GRID_FRAMES = 256
"""Grid frames of one pass that are held in memory; a video with more of them is sampled in two passes."""
_SEEKABLE = ("mov", "matroska")


@dataclass(frozen=True)
class Window:
    """The part of a file that is the video: seconds from its start; `end_s` `None` is the file's end."""

    start_s: float = 0.0
    end_s: float | None = None

    @property
    def length_s(self) -> float | None:
        return None if self.end_s is None else self.end_s - self.start_s


@dataclass(frozen=True)
class DecodedVideo:
    """`frames (n, R, R, 3)` uint8 RGB, shown at `times_s (n,)` seconds of the window.

    `damage` is what ffmpeg complained of, `None` for a sound file; `size` and `mtime` are the file's.
    """

    frames: np.ndarray
    times_s: np.ndarray
    duration_s: float
    size: int
    mtime: float
    damage: str | None


@dataclass(frozen=True)
class Decoder:
    """How videos are read: the binary, the frames' side in pixels and how they come to it, the sampling, and the
    seconds one file may take.

    `children` are its running ffmpeg processes; once they are cancelled `decode` raises `DecodingCancelledError`.
    """

    binary: Binary
    resolution: int
    fps: float
    max_frames: int
    sampling: str
    timeout_s: float = 600.0
    seek_cost_s: float = SEEK_COST_S
    resize: Resize = CLIP_RESIZE
    children: Children = field(default_factory=Children, repr=False, compare=False)

    def decode(self, path: Path, window: Window | None = None) -> DecodedVideo:
        """The sampled frames of one file, or of a window of it; raises `FrameDecodeError` when there are none."""
        descriptor, before = open_regular(path)
        try:
            passes = _Passes(self, str(path.absolute()), descriptor, window or Window())
            result = passes.sample()
            after = os.stat(path)
        except FileNotFoundError:
            raise FrameDecodeError("the file vanished while it was being read") from None
        finally:
            os.close(descriptor)
        if (after.st_size, after.st_mtime_ns, after.st_ino) != (before.st_size, before.st_mtime_ns, before.st_ino):
            raise FrameDecodeError("the file changed while it was being read")
        if not result.frames:
            raise FrameDecodeError(_past_the_end(result, window) or explain(result, self.timeout_s))
        return DecodedVideo(
            frames=np.stack(result.frames),
            times_s=np.array(result.times_s, np.float32),
            duration_s=math.nan if result.duration_s is None else result.duration_s,
            size=before.st_size,
            mtime=before.st_mtime,
            damage=None if result.is_sound else explain(result, self.timeout_s),
        )


class _Passes:
    """The passes of ffmpeg over one open file."""

    def __init__(self, decoder: Decoder, path: str, descriptor: int, window: Window) -> None:
        self.decoder, self.path, self.descriptor, self.window = decoder, path, descriptor, window
        self.deadline = time.monotonic() + decoder.timeout_s

    def sample(self) -> Pass:
        if self.decoder.sampling == CLIP4CLIP:
            return self._sample_frame_numbers()
        grid = self._run(
            select=grid_select(self.decoder.fps),
            limit=self.decoder.max_frames if self.decoder.sampling == "head" else None,
            stop=self._is_long,
        )
        if not grid.stopped:
            return _keep(grid, self._pick(grid))
        header, trouble = grid, Pass()
        last_s = self._last_time(header, trouble)
        if last_s is None:
            return self._run(select=grid_select(self.decoder.fps), limit=self.decoder.max_frames)
        points = SAMPLING[self.decoder.sampling](grid_points(last_s, self.decoder.fps), self.decoder.max_frames)
        targets = [point / self.decoder.fps for point in points]
        found = self._seek_all(targets, header) if self._seeks(header) else None
        if found is None:
            found = self._run(select=list_select(targets))
        found.add_trouble(trouble)
        return found

    # -- one pass -----------------------------------------------------------------------------------------------------

    def _run(
        self,
        *,
        select: str,
        limit: int | None = None,
        stop: Callable[[Pass], bool] | None = None,
        from_s: float = 0.0,
        window: Window | None = None,
    ) -> Pass:
        """Decode from `from_s` (seconds of the window) and shift the times back to the window's start."""
        window = window or self.window
        length = window.length_s
        left_s = self._time_left()
        if left_s <= 0:
            return Pass(timed_out=True)

        def command(mark: str, times_to: int) -> list[str]:
            return frames_command(
                self.decoder.binary,
                self.path,
                mark=mark,
                times_to=times_to,
                select=select,
                resolution=self.decoder.resolution,
                resize=self.decoder.resize,
                seek_s=window.start_s + from_s,
                length_s=None if length is None else max(0.001, length - from_s),
                limit=limit,
            )

        result = read_frames(
            self.decoder.children,
            command,
            self.descriptor,
            timeout_s=left_s,
            resolution=self.decoder.resolution,
            stop=stop,
        )
        result.times_s = [time_s + from_s for time_s in result.times_s]
        return result

    def _output(self, command: list[str], read: Callable[[IO[bytes]], None]) -> Pass:
        """Run a command that gives no frames."""
        left_s = self._time_left()
        if left_s <= 0:
            return Pass(timed_out=True)
        return read_output(self.decoder.children, command, self.descriptor, timeout_s=left_s, read=read)

    def _time_left(self) -> float:
        return self.deadline - time.monotonic()

    # -- short and long -----------------------------------------------------------------------------------------------

    def _pick(self, grid: Pass) -> list[int]:
        decoder = self.decoder
        return pick_frames(grid.times_s, fps=decoder.fps, max_frames=decoder.max_frames, sampling=decoder.sampling)

    def _length(self, header: Pass) -> float | None:
        """Seconds of the window, by the header."""
        if header.duration_s is None:
            return self.window.length_s
        end = header.duration_s if self.window.end_s is None else min(self.window.end_s, header.duration_s)
        return end - self.window.start_s

    def _is_long(self, so_far: Pass) -> bool:
        """Whether one pass over the whole is the wrong way: too many grid frames, or seeking is cheaper."""
        if self.decoder.sampling == "head":
            return False
        if len(so_far.frames) > MAX_GRID_FRAMES:
            return True
        length = self._length(so_far)
        return length is not None and (length * self.decoder.fps > MAX_GRID_FRAMES or self._seeks(so_far))

    def _seeks(self, header: Pass) -> bool:
        length = self._length(header)
        seekable = any(name in header.format.split(",") for name in _SEEKABLE)
        # One seek more than frames: the last frame is looked up first.
        return length is not None and seekable and length > self.decoder.seek_cost_s * (self.decoder.max_frames + 1)

    def _last_time(self, header: Pass, trouble: Pass) -> float | None:
        """When the last frame is shown: decode the end where one can seek to it, else list the packets.

        What went wrong on the way is added to `trouble`.
        """
        length = self._length(header)
        if length is not None and any(name in header.format.split(",") for name in _SEEKABLE):
            start = max(0, math.floor(length - 1 - 1 / self.decoder.fps))  # whole seconds: exact in any time base
            end = self._run(select=grid_select(self.decoder.fps), from_s=start)
            if end.times_s:
                trouble.add_trouble(end)
                return end.times_s[-1]
        packets = self._list_packets(trouble)
        if packets.last_s is None:
            return None
        last = packets.last_s - self.window.start_s
        return last if self.window.length_s is None else min(last, self.window.length_s)

    def _list_packets(self, trouble: Pass) -> Packets:
        packets = Packets()
        trouble.add_trouble(self._output(scan_command(self.decoder.binary, self.path), packets.read))
        return packets

    def _seek_all(self, targets: list[float], header: Pass) -> Pass | None:
        """One seek a target; `None` when one of them finds nothing, for the file's index cannot be relied on."""
        joined = Pass(format=header.format, duration_s=header.duration_s)
        for target in targets:
            found = self._run(select="1", limit=1, from_s=max(0.0, target - TIME_TOLERANCE_S))
            joined.add_trouble(found)
            if found.timed_out:
                return joined
            if not found.frames:
                return None
            if not joined.times_s or found.times_s[0] > joined.times_s[-1] + TIME_TOLERANCE_S:
                joined.frames += found.frames
                joined.times_s += found.times_s
        return joined

    # -- CLIP4Clip's frame numbers ------------------------------------------------------------------------------------

    def _sample_frame_numbers(self) -> Pass:
        trouble = Pass()
        table = self._frame_table(trouble)
        if table is None:
            return self._run(select="1", limit=1)
        window = self.window
        taken = clip4clip_frames(table, fps=self.decoder.fps, start_s=window.start_s, end_s=window.end_s)
        kept = [taken[index] for index in SAMPLING[CLIP4CLIP](len(taken), self.decoder.max_frames)]
        # Without a window the whole is decoded, so that damage after the last frame shows, too.
        limit = None if window.end_s is None else max(1, len(kept))
        result = self._run(select=number_select(kept), limit=limit, window=Window())
        result.times_s = [max(0.0, time_s - window.start_s) for time_s in result.times_s]
        result.add_trouble(trouble)
        return result

    def _frame_table(self, trouble: Pass) -> FrameTable | None:
        """When the frames are shown: as the packets say where that is regular, else as decoded."""
        average = MatroskaRate()
        header = self._output(rate_command(self.decoder.binary, self.path), average.read)
        packets = self._list_packets(trouble)
        rate = average.rate or packets.rate
        if not packets.shown or not rate:
            return None
        total = len(packets.shown)
        if header.duration_s is not None and "mov" not in header.format.split(","):
            total = int(header.duration_s * rate + 0.5)  # where OpenCV finds no count of frames
        table = FrameTable(sorted(packets.shown), sorted(packets.keyframes), packets.time_base_s, rate, total)
        if table.has_constant_rate:
            return table
        decoded = ShownTimes()
        trouble.add_trouble(self._output(times_command(self.decoder.binary, self.path), decoded.read))
        return replace(table, shown=sorted(decoded.pts)) if decoded.pts else None


def _keep(grid: Pass, picked: list[int]) -> Pass:
    grid.frames = [grid.frames[index] for index in picked]
    grid.times_s = [grid.times_s[index] for index in picked]
    return grid


def _past_the_end(result: Pass, window: Window | None) -> str | None:
    """What to say of a window that begins after the video has ended."""
    if window is None or result.duration_s is None or window.start_s < result.duration_s:
        return None
    until = "" if window.end_s is None else f" to {window.end_s:g} s"
    return (
        f"its window from {window.start_s:g} s{until} begins after the video's end at {result.duration_s:g} s; "
        "correct its times, or take the caption out"
    )
