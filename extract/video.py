"""From one video file to its sampled frames, whatever the file is like.

Most videos take one pass: ffmpeg decodes them and hands over the frames on the sampling grid, of which the policy
keeps some. A long video, of which few frames are wanted, is not decoded whole: its last frame is looked up, the grid
points are worked out from that, and each is reached by a seek. Both ways keep the same frames.
"""

from __future__ import annotations

import math
import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .ffmpeg import Binary, Pass, frames_command, run_child, scan_command
from .sampling import CLIP4CLIP, SAMPLING, TIME_TOLERANCE_S, clip4clip_steps, grid_points, pick_frames

SEEK_COST_S = 7.0
"""Video seconds whose decoding costs about as much as one seek (benchmarks/long_video.py measures it)."""
MAX_GRID_FRAMES = 256
"""Grid frames of one pass that are held in memory; a video with more of them is sampled in two passes."""
_SEEKABLE = ("mov", "matroska")


class FrameDecodeError(Exception):
    """No frame could be had from a video; `reason` is a sentence for its owner."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


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
    """How videos are read: the binary, the frames' side in pixels, the sampling, and the seconds one file may take."""

    binary: Binary
    resolution: int
    fps: float
    max_frames: int
    sampling: str
    timeout_s: float = 600.0
    seek_cost_s: float = SEEK_COST_S

    def decode(self, path: Path, window: Window | None = None) -> DecodedVideo:
        """The sampled frames of one file; raises `FrameDecodeError` when there is none to be had."""
        descriptor, before = _open_regular(path)
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
            raise FrameDecodeError(explain(result, self.timeout_s))
        return DecodedVideo(
            frames=np.stack(result.frames),
            times_s=np.array(result.times_s, np.float32),
            duration_s=math.nan if result.duration_s is None else result.duration_s,
            size=before.st_size,
            mtime=before.st_mtime,
            damage=explain(result, self.timeout_s) if result.errors or result.timed_out else None,
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
            select=_grid_select(self.decoder.fps),
            limit=self.decoder.max_frames if self.decoder.sampling == "head" else None,
            stop=self._is_long,
        )
        if not grid.stopped:
            return _keep(grid, self._pick(grid))
        header = grid
        last_s = self._last_time(header)
        if last_s is None:
            return self._run(select=_grid_select(self.decoder.fps), limit=self.decoder.max_frames)
        points = SAMPLING[self.decoder.sampling](grid_points(last_s, self.decoder.fps), self.decoder.max_frames)
        targets = [point / self.decoder.fps for point in points]
        if self._seeks(header):
            found = self._seek_all(targets, header)
            if found is not None:
                return found
        return self._run(select=_list_select(targets), limit=len(targets))

    # -- one pass -----------------------------------------------------------------------------------------------------

    def _run(
        self,
        *,
        select: str,
        limit: int | None = None,
        stop: Callable[[Pass], bool] | None = None,
        from_s: float = 0.0,
    ) -> Pass:
        """Decode from `from_s` (seconds of the window) and shift the times back to the window's start."""
        length = self.window.length_s
        command = frames_command(
            self.decoder.binary,
            self.path,
            select=select,
            resolution=self.decoder.resolution,
            seek_s=self.window.start_s + from_s,
            length_s=None if length is None else max(0.001, length - from_s),
            limit=limit,
        )
        result = self._child(command, self.decoder.resolution, stop)
        result.times_s = [time_s + from_s for time_s in result.times_s]
        return result

    def _child(self, command: list[str], resolution: int | None, stop: Callable[[Pass], bool] | None = None) -> Pass:
        left = max(0.1, self.deadline - time.monotonic())
        return run_child(command, self.descriptor, timeout_s=left, resolution=resolution, stop=stop)

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

    def _last_time(self, header: Pass) -> float | None:
        """When the last frame is shown: decode the end where one can seek to it, else list the packets."""
        length = self._length(header)
        if length is not None and any(name in header.format.split(",") for name in _SEEKABLE):
            start = max(0, math.floor(length - 1 - 1 / self.decoder.fps))  # whole seconds: exact in any time base
            end = self._run(select=_grid_select(self.decoder.fps), from_s=start)
            if end.times_s:
                return end.times_s[-1]
        scan = self._child(scan_command(self.decoder.binary, self.path), None)
        if scan.last_packet_s is None:
            return None
        last = scan.last_packet_s - self.window.start_s
        return last if self.window.length_s is None else min(last, self.window.length_s)

    def _seek_all(self, targets: list[float], header: Pass) -> Pass | None:
        """One seek a target; `None` when one of them finds nothing, for the file's index cannot be relied on."""
        joined = Pass(format=header.format, duration_s=header.duration_s, frame_rate=header.frame_rate)
        for target in targets:
            found = self._run(select="1", limit=1, from_s=max(0.0, target - TIME_TOLERANCE_S))
            if not found.frames:
                return None
            joined.errors += found.errors
            if not joined.times_s or found.times_s[0] > joined.times_s[-1] + TIME_TOLERANCE_S:
                joined.frames += found.frames
                joined.times_s += found.times_s
        return joined

    # -- CLIP4Clip's frame numbers ------------------------------------------------------------------------------------

    def _sample_frame_numbers(self) -> Pass:
        rate = self._run(select="1", limit=1)
        period, offsets = clip4clip_steps(rate.frame_rate, self.decoder.fps)
        select = "+".join(f"eq(mod(n,{period}),{offset})" for offset in offsets)
        numbers = self._run(select=select, stop=lambda so_far: len(so_far.frames) > MAX_GRID_FRAMES)
        kept = SAMPLING[CLIP4CLIP](len(numbers.frames), self.decoder.max_frames)
        if not numbers.stopped:
            return _keep(numbers, kept)
        counted = self._count(select)
        kept = SAMPLING[CLIP4CLIP](counted, self.decoder.max_frames)
        wanted = [index // len(offsets) * period + offsets[index % len(offsets)] for index in kept]
        return self._run(select="+".join(f"eq(n,{number})" for number in wanted), limit=len(wanted))

    def _count(self, select: str) -> int:
        """How many frames a selection has, holding none of them."""
        counted = 0

        def forget(so_far: Pass) -> bool:
            nonlocal counted
            counted += len(so_far.frames)
            so_far.frames.clear()
            return False

        self._run(select=select, stop=forget)
        return counted


def _grid_select(fps: float) -> str:
    """ffmpeg expression: the first frame at or after each grid point, once."""
    return f"if(gt(st(1,floor((t+{TIME_TOLERANCE_S:f})*{fps!r})+1),ld(0)),st(0,ld(1)),0)"


def _list_select(targets: list[float]) -> str:
    """The same for the listed times alone."""
    passed = "+".join(f"gte(t,{target - TIME_TOLERANCE_S:.6f})" for target in targets)
    return f"if(gt(st(1,{passed}),ld(0)),st(0,ld(1)),0)"


def _keep(grid: Pass, picked: list[int]) -> Pass:
    grid.frames = [grid.frames[index] for index in picked]
    grid.times_s = [grid.times_s[index] for index in picked]
    return grid


def _open_regular(path: Path) -> tuple[int, os.stat_result]:
    """Open without blocking on a FIFO or a device; raises `FrameDecodeError` for what is not a regular file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise FrameDecodeError("the file does not exist (a broken link, or it vanished during the run)") from None
    except PermissionError:
        raise FrameDecodeError("the file may not be read (permission denied)") from None
    except OSError as error:
        loop = isinstance(error.errno, int) and error.errno == 40
        raise FrameDecodeError("a symbolic link that leads to itself" if loop else str(error.strerror)) from None
    found = os.fstat(descriptor)
    problem = None
    if stat.S_ISDIR(found.st_mode):
        problem = "a folder, not a video file"
    elif not stat.S_ISREG(found.st_mode):
        problem = "not a regular file (a pipe, socket or device)"
    elif found.st_size == 0:
        problem = "the file is empty"
    if problem is not None:
        os.close(descriptor)
        raise FrameDecodeError(problem)
    return descriptor, found


_EXPLANATIONS = (
    ("moov atom not found", "its index (the moov atom) is missing: cut off, still being written, or no video at all"),
    ("matches no streams", "it has no video stream"),
    ("not in whitelist", "it is not a video container (its content is of another type)"),
    ("not on whitelist", "it is not a video container (its content is of another type)"),
    ("Invalid data found when processing input", "ffmpeg finds no readable video in it"),
    ("exceeds specified max pixel count", "its frames are too large (over 33 million pixels)"),
    ("Cannot allocate memory", "it needs more memory than one video may take"),
)


def explain(result: Pass, timeout_s: float) -> str:
    """Why a pass gave no frames, or fewer than it should, in words, with ffmpeg's own first line."""
    if result.timed_out:
        return f"took longer than {timeout_s:g} s and was stopped"
    first = result.errors[0].split("] ")[-1][:160] if result.errors else ""
    if result.frames:
        return f"read in part: {first}"
    said = " | ".join(result.errors)
    for pattern, meaning in _EXPLANATIONS:
        if pattern in said:
            return meaning
    if result.returncode < 0:
        return f"ffmpeg was ended by signal {-result.returncode} on it" + (f" ({first})" if first else "")
    return f"cannot be decoded: {first}" if first else "no frame could be decoded"
