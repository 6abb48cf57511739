"""Which ffmpeg runs, and its command lines: one child process per pass over a video, bounded in what it may read.

The file is handed over as an open descriptor, so that no name can be taken for an option, a pattern or an address;
demuxers are limited to a list of containers, since playlists that open other files are demuxers too; frame size and
single allocations are bounded. `child.py` runs the commands and bounds what they may cost.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from functools import cache

import ffmpeg

from ..pipeline.errors import CamoeError
from .child import kill_children
from .resize import CLIP_RESIZE, LONGEST, SQUASH, Resize

__all__ = [
    "Binary",
    "compile_command",
    "frames_command",
    "inspect_binary",
    "kill_children",
    "rate_command",
    "scan_command",
    "times_command",
]

FORMATS = "mov,matroska,avi,mpegts,mpeg,mpegvideo,m4v,flv,asf,ogg,gif,ivf,mxf,dv,rm,nut,h264,hevc,obu"
_MAX_PIXELS = 32 << 20
_MAX_ALLOCATION = 256 << 20
_OLDEST_VERSION = (5, 1)


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
    mark: str,
    times_to: int,
    select: str,
    resolution: int,
    resize: Resize = CLIP_RESIZE,
    seek_s: float = 0.0,
    length_s: float | None = None,
    limit: int | None = None,
) -> list[str]:
    """The command that writes the selected frames, resized and cropped, as raw RGB to its standard output.

    The frames' times go to the descriptor `times_to`, in units of the time base that the log tells beside `mark`.

    They become squares of `resolution` as `resize` says, with torchvision's rounding; pixels count as square, as in
    CLIP4Clip.
    """
    name, options = binary.input_options(path)
    if seek_s > 0:
        options["ss"] = f"{seek_s:.6f}"
    if length_s is not None:
        options["t"] = f"{length_s:.6f}"
    video = ffmpeg.input(name, **options)["V:0"].filter("select", select)
    video = _resized(video, resolution, resize)
    video = _print_times(video, times_to).filter(f"showinfo@{mark}", checksum=0)
    output: dict[str, object] = {"format": "rawvideo", "pix_fmt": "rgb24", "fps_mode": "passthrough"}
    if limit is not None:
        output["frames:v"] = limit
    return compile_command(binary, ffmpeg.output(video, "pipe:1", **output))


def _resized(video: ffmpeg.nodes.FilterableStream, side: int, resize: Resize) -> ffmpeg.nodes.FilterableStream:
    """The picture as a square of `side`, in RGB. Where the centre is cropped anyway, very long sides are cropped
    before, which only bounds the cost."""
    kernel: dict[str, object] = {"flags": f"{resize.interpolation}+accurate_rnd+full_chroma_int"}
    if resize.interpolation == "bicubic":
        kernel |= {"param0": 0, "param1": 0.5}
    if resize.mode == SQUASH:
        return video.filter("scale", w=side, h=side, **kernel).filter("format", "rgb24")
    if resize.mode == LONGEST:
        fitted = video.filter("scale", w=_fitted(side, "iw"), h=_fitted(side, "ih"), **kernel)
        margins = ("floor((ow-iw)/2)", "floor((oh-ih)/2)")
        return fitted.filter("format", "rgb24").filter("pad", side, side, *margins, "0x" + f"{resize.fill:02x}" * 3)
    short = f"trunc({side}*{{}}/{{}})"
    return (
        video.filter("crop", "min(iw,4*ih)", "min(ih,4*iw)")
        .filter(
            "scale",
            w=f"if(lte(iw,ih),{side},{short.format('iw', 'ih')})",
            h=f"if(lte(iw,ih),{short.format('ih', 'iw')},{side})",
            **kernel,
        )
        .filter("format", "rgb24")
        .filter("crop", side, side, _margin("iw-ow"), _margin("ih-oh"), exact=1)
    )


def _fitted(side: int, this: str) -> str:
    """`this` side where the longer one becomes `side`: the nearest whole number, halves going to the even one."""
    twice = f"2*{side}*{this}/max(iw,ih)"
    nearest = f"floor(({twice}+1)/2)"
    return f"max(1,{nearest}-mod({nearest},2)*eq({twice}+1,2*{nearest}))"


def _margin(both: str) -> str:
    """Half of the two margins, halves going to the even number: what Python's `round` does in torchvision's crop."""
    return f"floor(({both})/2)+mod(floor(({both})/2),2)*mod({both},2)"


def scan_command(binary: Binary, path: str) -> list[str]:
    """The command that lists the video's packets with their times, without decoding."""
    name, options = binary.input_options(path)
    return compile_command(
        binary, ffmpeg.output(ffmpeg.input(name, **options)["V:0"], "pipe:1", format="framecrc", c="copy")
    )


def times_command(binary: Binary, path: str) -> list[str]:
    """The command that decodes the video and writes when each frame is shown to its standard output."""
    name, options = binary.input_options(path)
    video = _print_times(ffmpeg.input(name, **options)["V:0"], 1)
    return compile_command(binary, ffmpeg.output(video, "-", format="null", fps_mode="passthrough"))


def _print_times(video: ffmpeg.nodes.FilterableStream, descriptor: int) -> ffmpeg.nodes.FilterableStream:
    """Add filters that write a line for each frame, with nothing in it that comes from the file but its time."""
    plain = video.filter("metadata", "delete").filter("metadata", "add", key="shown", value="1")
    return plain.filter("metadata", "print", key="shown", file=f"pipe:{descriptor}", direct=1)


def rate_command(binary: Binary, path: str) -> list[str]:
    """The command that copies the first packet into a Matroska file, whose header tells the average frame rate."""
    name, options = binary.input_options(path)
    video = ffmpeg.input(name, **options)["V:0"]
    copied: dict[str, object] = {"format": "matroska", "c": "copy", "frames:v": 1, "map_metadata": -1}
    return compile_command(binary, ffmpeg.output(video, "pipe:1", **copied))


def compile_command(binary: Binary, output: ffmpeg.nodes.OutputStream) -> list[str]:
    """The command line of an output, with what bounds the child and makes its log readable."""
    limits = ["-hide_banner", "-nostdin", "-loglevel", "level+info", "-nostats", "-max_alloc", str(_MAX_ALLOCATION)]
    limits += ["-filter_threads", "1"]
    command: list[str] = ffmpeg.compile(output, cmd=[binary.path, *limits])
    return command
