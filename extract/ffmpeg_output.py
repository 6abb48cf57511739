"""Reading what ffmpeg writes besides frames: lists of packets and of times, and the header of a Matroska file."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import IO

_TRACKS, _TRACK, _FRAME_NS = 0x1654AE6B, 0xAE, 0x23E383
_SEGMENT = 0x18538067
_HEADER_BYTES = 1 << 20


class Packets:
    """The packets of a video stream, as `framecrc` lists them: times of all and of keyframes, in `time_base_s`."""

    def __init__(self) -> None:
        self.shown: array[int] = array("q")
        self.keyframes: array[int] = array("q")
        self.time_base_s = 0.0

    def read(self, stream: IO[bytes]) -> None:
        """Take in the lines: `stream, dts, pts, duration, size, checksum`, and `F=0x…` where it is no keyframe."""
        while line := stream.readline(1 << 12):
            if line.startswith(b"#tb 0:"):
                numerator, denominator = line[6:].split(b"/")
                self.time_base_s = int(numerator) / max(1, int(denominator))
            elif not line.startswith(b"#"):
                self._take(line.split(b","))

    def _take(self, fields: list[bytes]) -> None:
        pts = fields[2].strip() if len(fields) > 5 else b""
        if not pts.lstrip(b"-").isdigit():
            return
        self.shown.append(int(pts))
        flags = next((int(field[2:], 16) for field in map(bytes.strip, fields) if field.startswith(b"F=")), 1)
        if flags & 1:
            self.keyframes.append(int(pts))

    @property
    def last_s(self) -> float | None:
        """When the last packet is shown, `None` without any."""
        return max(self.shown) * self.time_base_s if self.shown else None

    @property
    def rate(self) -> float:
        """Packets a second, 0 where there are too few to say."""
        span_s = (max(self.shown) - min(self.shown)) * self.time_base_s if self.shown else 0.0
        return (len(self.shown) - 1) / span_s if span_s > 0 else 0.0


class ShownTimes:
    """The times of frames, in units of a time base, as the `metadata` filter prints them, a line a frame."""

    def __init__(self) -> None:
        self.pts: array[int] = array("q")

    def read(self, stream: IO[bytes]) -> None:
        """Take in the lines; a frame without a time has that of the one before."""
        while line := stream.readline(1 << 12):
            if line.startswith(b"frame:"):
                pts = line.partition(b" pts:")[2].split(b" ", 1)[0]
                known = pts.lstrip(b"-").isdigit()
                self.pts.append(int(pts) if known else self.pts[-1] if self.pts else 0)


class MatroskaRate:
    """The frame rate in the header of a Matroska file, `None` where it has none."""

    def __init__(self) -> None:
        self.rate: float | None = None

    def read(self, stream: IO[bytes]) -> None:
        """Take in the file's beginning and skip the rest."""
        header = stream.read(_HEADER_BYTES)
        while stream.read(_HEADER_BYTES):
            pass
        for content in _elements(header, (_SEGMENT, _TRACKS, _TRACK, _FRAME_NS)):
            nanoseconds = int.from_bytes(content, "big")
            self.rate = 1e9 / nanoseconds if nanoseconds else None


def _elements(data: bytes, path: tuple[int, ...]) -> Iterator[bytes]:
    """The contents of the EBML elements that lie at a path of ids."""
    place = 0
    while place < len(data):
        first = data[place]
        width = 9 - first.bit_length()
        name = int.from_bytes(data[place : place + width], "big")
        place += width
        if place >= len(data) or width > 4:
            return
        width = 9 - data[place].bit_length()
        size = int.from_bytes(data[place : place + width], "big") & ((1 << 7 * width) - 1)
        place += width
        end = len(data) if size == (1 << 7 * width) - 1 else place + size
        if name == path[0]:
            if len(path) == 1:
                yield data[place:end]
            else:
                yield from _elements(data[place:end], path[1:])
        place = end
