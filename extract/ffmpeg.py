"""One ffmpeg child process per pass over a video, bounded in what it may read, take and cost.

The file is handed over as an open descriptor, so that no name can be taken for an option, a pattern or an address;
demuxers are limited to a list of containers, since playlists that open other files are demuxers too; frame size,
memory, CPU and wall time are bounded, and a child that overstays is killed with its process group.
"""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from typing import IO

import ffmpeg
import numpy as np

from ..pipeline.errors import CamoeError

FORMATS = "mov,matroska,avi,mpegts,mpeg,mpegvideo,m4v,flv,asf,ogg,gif,ivf,mxf,dv,rm,nut,h264,hevc,obu"
_MAX_PIXELS = 32 << 20
_MAX_ALLOCATION = 256 << 20
_MAX_ADDRESS_SPACE = 4 << 30
_MAX_ERRORS = 20
_OLDEST_VERSION = (5, 1)

_LEVEL = re.compile(r"^(?:\[[^\]]+ @ [^\]]+\] )*\[(error|fatal|panic)\] ")
_DURATION = re.compile(r"^\[info\]   Duration: (\d+):(\d\d):(\d\d(?:\.\d+)?)")
_INPUT = re.compile(r"^\[info\] Input #0, ([\w,]+), from ")
_TIME_BASE = re.compile(r"config in time_base: (\d+)/(\d+), frame_rate: (\d+)/(\d+)")
_SHOWN = re.compile(r"showinfo.* pts: *(-?\d+) ")


@dataclass
class Pass:
    """What one child said and sent: RGB frames `(R, R, 3)` uint8 with their times in seconds.

    `format` and `duration_s` are the header's (`None` where it does not say), `frame_rate` the stream's;
    `errors` are the first lines that ffmpeg logged as errors; `stopped` says that we had seen enough.
    """

    frames: list[np.ndarray] = field(default_factory=list)
    times_s: list[float] = field(default_factory=list)
    format: str = ""
    duration_s: float | None = None
    frame_rate: float = 0.0
    errors: list[str] = field(default_factory=list)
    last_packet_s: float | None = None
    returncode: int = 0
    stopped: bool = False
    timed_out: bool = False


@dataclass(frozen=True)
class Binary:
    """An ffmpeg executable and what it can do."""

    path: str
    version: str
    has_fd: bool

    def input_options(self, path: str) -> tuple[str, dict[str, object]]:
        """The address of a file and the options that keep ffmpeg to it."""
        name, options = ("fd:", {"fd": 0}) if self.has_fd else (f"file:{path}", {})
        return name, options | {
            "protocol_whitelist": "fd" if self.has_fd else "file",
            "format_whitelist": FORMATS,
            "max_pixels": _MAX_PIXELS,
            "threads": 1,
        }


@cache
def inspect_binary(path: str) -> Binary:
    """Ask an ffmpeg for its version; raises `CamoeError` when it does not run or is too old."""
    try:
        shown = _ask(path, "-version").split("\n")[0]
        protocols = _ask(path, "-protocols").split()
    except (OSError, subprocess.SubprocessError) as error:
        raise CamoeError(f"{path} does not run as ffmpeg ({error}); give another by --ffmpeg") from None
    found = re.search(r"version n?(\d+)\.(\d+)", shown)
    if found and (int(found[1]), int(found[2])) < _OLDEST_VERSION:
        raise CamoeError(f"{path} is too old ({shown}); 5.1 or newer is needed, give another by --ffmpeg")
    return Binary(path, shown.removeprefix("ffmpeg version ").split(" ")[0], "fd" in protocols)


def _ask(path: str, option: str) -> str:
    command = [path, "-hide_banner", "-nostdin", option]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout


def frames_command(
    binary: Binary,
    path: str,
    *,
    select: str,
    resolution: int,
    seek_s: float = 0.0,
    length_s: float | None = None,
    limit: int | None = None,
) -> list[str]:
    """The command that writes the selected frames, resized and cropped, as raw RGB to its standard output.

    The shorter side is resized bicubic to `resolution`, then the centre is cropped (torchvision's rounding); pixels
    count as square, as in CLIP4Clip. Very long sides are cropped before the resize, which only bounds its cost.
    """
    name, options = binary.input_options(path)
    if seek_s > 0:
        options["ss"] = f"{seek_s:.6f}"
    if length_s is not None:
        options["t"] = f"{length_s:.6f}"
    short = f"trunc({resolution}*{{}}/{{}})"
    video = (
        ffmpeg.input(name, **options)["V:0"]
        .filter("select", select)
        .filter("crop", "min(iw,4*ih)", "min(ih,4*iw)")
        .filter(
            "scale",
            w=f"if(lte(iw,ih),{resolution},{short.format('iw', 'ih')})",
            h=f"if(lte(iw,ih),{short.format('ih', 'iw')},{resolution})",
            flags="bicubic+accurate_rnd+full_chroma_int",
            param0=0,
            param1=0.5,
        )
        .filter("format", "rgb24")
        .filter("crop", resolution, resolution, _margin("iw-ow"), _margin("ih-oh"), exact=1)
        .filter("showinfo", checksum=0)
    )
    output: dict[str, object] = {"format": "rawvideo", "pix_fmt": "rgb24", "fps_mode": "passthrough"}
    if limit is not None:
        output["frames:v"] = limit
    return _compile(binary, ffmpeg.output(video, "pipe:1", **output))


def _margin(both: str) -> str:
    """Half of the two margins, halves going to the even number: what Python's `round` does in torchvision's crop."""
    return f"floor(({both})/2)+mod(floor(({both})/2),2)*mod({both},2)"


def scan_command(binary: Binary, path: str) -> list[str]:
    """The command that lists the video's packets with their times, without decoding."""
    name, options = binary.input_options(path)
    return _compile(binary, ffmpeg.output(ffmpeg.input(name, **options)["V:0"], "pipe:1", format="framecrc", c="copy"))


def _compile(binary: Binary, output: ffmpeg.nodes.OutputStream) -> list[str]:
    limits = ["-hide_banner", "-nostdin", "-loglevel", "level+info", "-nostats", "-max_alloc", str(_MAX_ALLOCATION)]
    limits += ["-filter_threads", "1"]
    command: list[str] = ffmpeg.compile(output, cmd=[binary.path, *limits])
    return command


_children: set[subprocess.Popen[bytes]] = set()


def kill_children() -> None:
    """End every running child, when the run itself ends early."""
    for child in list(_children):
        _kill(child)


def run_child(
    command: Sequence[str],
    descriptor: int,
    *,
    timeout_s: float,
    resolution: int | None = None,
    stop: Callable[[Pass], bool] | None = None,
) -> Pass:
    """Run one ffmpeg on an open file: collect frames of `resolution`, or without one a packet list's last time.

    `stop` is asked once the header is known and after each frame; when it says so the child is killed and what
    came so far is returned with `stopped` set.
    """
    os.lseek(descriptor, 0, os.SEEK_SET)
    result = Pass()
    child = subprocess.Popen(
        command, stdin=descriptor, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    _children.add(child)
    _bound(child.pid, timeout_s)
    timer = threading.Timer(timeout_s, _overstay, (child, result))
    reader = threading.Thread(target=_read_log, args=(child, result, stop), daemon=True)
    timer.start()
    reader.start()
    try:
        assert child.stdout is not None
        if resolution is None:
            result.last_packet_s = _read_last_packet(child.stdout)
        else:
            _read_frames(child, child.stdout, result, resolution, stop)
        reader.join()
        result.returncode = child.wait()
    finally:
        timer.cancel()
        _kill(child)
        child.wait()
        _children.discard(child)
        reader.join()
        for pipe in (child.stdout, child.stderr):
            if pipe is not None:
                pipe.close()
    del result.frames[len(result.times_s) :], result.times_s[len(result.frames) :]
    return result


def _bound(pid: int, timeout_s: float) -> None:
    seconds = int(timeout_s) + 1
    with suppress(ProcessLookupError, PermissionError, ValueError):
        resource.prlimit(pid, resource.RLIMIT_CPU, (seconds, seconds))
        resource.prlimit(pid, resource.RLIMIT_AS, (_MAX_ADDRESS_SPACE, _MAX_ADDRESS_SPACE))


def _kill(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)


def _overstay(child: subprocess.Popen[bytes], result: Pass) -> None:
    result.timed_out = True
    _kill(child)


def _read_frames(
    child: subprocess.Popen[bytes],
    stream: IO[bytes],
    result: Pass,
    resolution: int,
    stop: Callable[[Pass], bool] | None,
) -> None:
    size = resolution * resolution * 3
    while len(block := stream.read(size)) == size:
        result.frames.append(np.frombuffer(block, np.uint8).reshape(resolution, resolution, 3))
        if stop is not None and not result.stopped and stop(result):
            result.stopped = True
            _kill(child)


def _read_last_packet(stream: IO[bytes]) -> float | None:
    """The latest presentation time in a framecrc listing (`stream, dts, pts, duration, size, checksum`)."""
    base, last = 0.0, None
    while line := stream.readline(1 << 12):
        if line.startswith(b"#tb 0:"):
            numerator, denominator = line[6:].split(b"/")
            base = int(numerator) / max(1, int(denominator))
        elif not line.startswith(b"#"):
            pts = line.split(b",")[2:3]
            if pts and pts[0].strip().lstrip(b"-").isdigit():
                last = max(int(pts[0]), last if last is not None else int(pts[0]))
    return None if last is None else last * base


def _read_log(child: subprocess.Popen[bytes], result: Pass, stop: Callable[[Pass], bool] | None) -> None:
    base = 0.0
    assert child.stderr is not None
    while line := child.stderr.readline(1 << 16).decode(errors="replace"):
        if shown := _SHOWN.search(line):
            result.times_s.append(int(shown[1]) * base)
        elif found := _INPUT.match(line):
            result.format = found[1]
        elif found := _DURATION.match(line):
            result.duration_s = int(found[1]) * 3600 + int(found[2]) * 60 + float(found[3])
        elif found := _TIME_BASE.search(line):
            base = int(found[1]) / max(1, int(found[2]))
            result.frame_rate = int(found[3]) / max(1, int(found[4]))
        elif line.startswith("[info] Stream mapping:"):
            if stop is not None and not result.stopped and stop(result):
                result.stopped = True
                _kill(child)
        elif _LEVEL.match(line) and len(result.errors) < _MAX_ERRORS:
            result.errors.append(line.strip())
