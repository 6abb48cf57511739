"""Pictures and playable copies of videos, by ffmpeg children that are bounded as those of the extraction are."""

from __future__ import annotations

from collections.abc import Callable
from typing import IO

import ffmpeg

from ...extract.child import Children, Pass, read_output
from ...extract.ffmpeg import Binary, compile_command, inspect_binary
from ...extract.sampling import TIME_TOLERANCE_S
from ...pipeline.ffmpeg_binary import find_ffmpeg

STILL_TIMEOUT_S = 20.0
PREVIEW_TIMEOUT_S = 300.0
PREVIEW_LENGTH_S = 600.0
MOST_PREVIEW_BYTES = 256 << 20
_MOST_STILL_BYTES = 4 << 20
_BLOCK = 1 << 16


def preview_binary() -> Binary:
    """An ffmpeg that encodes H.264: the bundled one where it is there."""
    return inspect_binary(find_ffmpeg(prefer_bundled=True))


def still(
    binary: Binary, descriptor: int, path: str, time_s: float, *, width: int, children: Children | None = None
) -> bytes | None:
    """A JPEG of the frame shown at `time_s` (seconds of the file), `width` pixels or less; none where it fails.

    That is the very frame that was encoded, where `time_s` is its time in the store. The file is read from the open
    `descriptor`; its `path` is for ffmpeg without `fd:`.
    """
    picture = bytearray()

    def read(stream: IO[bytes]) -> None:
        while len(picture) < _MOST_STILL_BYTES and (block := stream.read(_BLOCK)):
            picture.extend(block)

    command = _still_command(binary, path, time_s, width)
    read_output(children or Children(), command, descriptor, timeout_s=STILL_TIMEOUT_S, read=read)
    return bytes(picture) if picture[:2] == b"\xff\xd8" else None


def preview(
    binary: Binary, descriptor: int, path: str, start_s: float, *, children: Children, write: Callable[[bytes], None]
) -> Pass:
    """An MP4 that browsers play, from `start_s` of the file on, handed to `write` as it comes.

    At most `PREVIEW_LENGTH_S` of video and `MOST_PREVIEW_BYTES`; the child ends when `children` are cancelled.
    """

    def read(stream: IO[bytes]) -> None:
        written = 0
        while written < MOST_PREVIEW_BYTES and (block := stream.read(_BLOCK)):
            written += len(block)
            write(block)

    command = _preview_command(binary, path, start_s)
    return read_output(children, command, descriptor, timeout_s=PREVIEW_TIMEOUT_S, read=read)


def _still_command(binary: Binary, path: str, time_s: float, width: int) -> list[str]:
    name, options = binary.input_options(path)
    if time_s > 0:
        options["ss"] = f"{max(0.0, time_s - TIME_TOLERANCE_S):.6f}"
    video = _scaled(ffmpeg.input(name, **options)["V:0"], width).filter("format", "yuvj420p")
    output = {"format": "image2pipe", "vcodec": "mjpeg", "frames:v": 1, "q:v": 4, "threads": 1, "map_metadata": -1}
    return compile_command(binary, ffmpeg.output(video, "pipe:1", **output))


def _preview_command(binary: Binary, path: str, start_s: float) -> list[str]:
    name, options = binary.input_options(path)
    if start_s > 0:
        options["ss"] = f"{start_s:.6f}"
    source = ffmpeg.input(name, **options)
    video = _scaled(source["V:0"], 960)
    output = {
        **{"format": "mp4", "vcodec": "libx264", "preset": "ultrafast", "crf": 26, "pix_fmt": "yuv420p", "g": 50},
        **{"acodec": "aac", "ac": 2, "threads": 1, "t": PREVIEW_LENGTH_S, "map_metadata": -1},
        "movflags": "frag_keyframe+empty_moov+default_base_moof",
    }
    return compile_command(binary, ffmpeg.output(video, source["a:0?"], "pipe:1", **output))


def _scaled(video: ffmpeg.nodes.FilterableStream, width: int) -> ffmpeg.nodes.FilterableStream:
    """At most `width` pixels wide, square pixels, even sides."""
    side = f"max(2,2*trunc(min({width},iw*max(sar,0.01))/2))"
    return video.filter("scale", w=side, h="max(2,2*trunc(ow/dar/2))").filter("setsar", 1)
