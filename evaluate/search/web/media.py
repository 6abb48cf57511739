"""Files and previews as answers: HTTP ranges, children that end with the request, at most a few at a time."""

from __future__ import annotations

import os
import re
import tempfile
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from functools import partial

import anyio
from anyio import to_thread
from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from ....extract.child import Children, DecodingCancelledError
from ....extract.ffmpeg import Binary
from ..previews import preview, still

MOST_PREVIEWS, MOST_STILLS = 3, 2
STILL_WIDTH = 480
_CACHED_STILLS = 2000
_BLOCK = 1 << 18
_POLL_S = 0.05
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
MEDIA_TYPES = {
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/mp4",
    ".webm": "video/webm",
    ".ogv": "video/ogg",
    ".ogg": "video/ogg",
}
"""What browsers mostly play as it is; what they do not after all is asked for again as a preview."""


class Streamed(StreamingResponse):
    """A streaming answer that calls `close` when it is over, however that comes about."""

    def __init__(self, content: AsyncIterator[bytes], close: Callable[[], None], **options: object) -> None:
        super().__init__(content, **options)  # type: ignore[arg-type]
        self._close = close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._close()


def file_response(descriptor: int, suffix: str, headers: Headers) -> Response:
    """An open file, or the one range of it that is asked for; closes the descriptor."""
    size = os.fstat(descriptor).st_size
    answered = {"Accept-Ranges": "bytes", "Cache-Control": "private, max-age=60"}
    start, end, status = 0, size, 200
    if asked := _RANGE.fullmatch(headers.get("range", "")):
        start, end = _bounds(asked[1], asked[2], size)
        if start >= end:
            os.close(descriptor)
            there_is = {"Content-Range": f"bytes */{size}"}
            return JSONResponse({"error": "there is no such part of the file"}, 416, there_is)
        status, answered["Content-Range"] = 206, f"bytes {start}-{end - 1}/{size}"
    answered["Content-Length"] = str(end - start)
    return Streamed(
        _read(descriptor, start, end),
        partial(os.close, descriptor),
        status_code=status,
        headers=answered,
        media_type=MEDIA_TYPES.get(suffix, "application/octet-stream"),
    )


def _bounds(first: str, last: str, size: int) -> tuple[int, int]:
    """`5-9` -> 5, 10; `5-` -> 5, size; `-5` -> the last five bytes; an empty range where there is none."""
    if first:
        return int(first), min(size, int(last) + 1 if last else size)
    return (max(0, size - int(last)), size) if last else (0, 0)


async def _read(descriptor: int, start: int, end: int) -> AsyncIterator[bytes]:
    while start < end:
        block = await to_thread.run_sync(os.pread, descriptor, min(_BLOCK, end - start), start)
        if not block:
            return  # the file was cut meanwhile
        start += len(block)
        yield block


class Stills:
    """Pictures of frames, a few made at a time and the last ones kept."""

    def __init__(self, binary: Binary) -> None:
        self._binary = binary
        self._limit = anyio.CapacityLimiter(MOST_STILLS)
        self._kept: OrderedDict[tuple[str, float], bytes] = OrderedDict()

    async def get(self, source: str, time_s: float, open_source: Callable[[], int]) -> bytes | None:
        """The JPEG of a frame of a source; raises what `open_source` raises."""
        key = (source, round(time_s, 3))
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        picture = await to_thread.run_sync(self._make, source, time_s, open_source, limiter=self._limit)
        if picture is not None:
            self._kept[key] = picture
            while len(self._kept) > _CACHED_STILLS:
                self._kept.popitem(last=False)
        return picture

    def _make(self, source: str, time_s: float, open_source: Callable[[], int]) -> bytes | None:
        descriptor = open_source()
        try:
            return still(self._binary, descriptor, source, time_s, width=STILL_WIDTH)
        finally:
            os.close(descriptor)


class Previews:
    """Playable copies, made while they are sent; at most `MOST_PREVIEWS` children at a time.

    A child writes into a file that has no name and is read from there, so that who reads slowly holds up nobody.
    """

    def __init__(self, binary: Binary) -> None:
        self._binary = binary
        self._free = threading.BoundedSemaphore(MOST_PREVIEWS)

    def response(self, descriptor: int, path: str, start_s: float) -> Response:
        """The preview from `start_s` on, or a 503; closes the descriptor."""
        if not self._free.acquire(blocking=False):
            os.close(descriptor)
            busy = "a few videos are being prepared already; try again in a moment"
            return JSONResponse({"error": busy}, 503, {"Retry-After": "2"})
        job = _Job(self._binary, descriptor, path, start_s, self._free.release)
        return Streamed(job.blocks(), job.close, media_type="video/mp4", headers={"Cache-Control": "no-store"})


class _Job:
    """One child, its output and its thread."""

    def __init__(self, binary: Binary, descriptor: int, path: str, start_s: float, on_end: Callable[[], None]) -> None:
        self._children = Children()
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 (open as long as the job)
        self._written = 0
        self._ended = threading.Event()
        self._work = (binary, descriptor, path, start_s)
        self._on_end = on_end
        threading.Thread(target=self._run, daemon=True, name="preview").start()

    def _run(self) -> None:
        binary, descriptor, path, start_s = self._work
        try:
            preview(binary, descriptor, path, start_s, children=self._children, write=self._write)
        except (DecodingCancelledError, OSError, ValueError):
            pass  # nobody waits for it any more, or the disk is full: what came so far is all there is
        finally:
            os.close(descriptor)
            self._ended.set()
            self._on_end()

    def _write(self, block: bytes) -> None:
        os.pwrite(self._file.fileno(), block, self._written)
        self._written += len(block)

    async def blocks(self) -> AsyncIterator[bytes]:
        """What the child writes, as it comes."""
        sent = 0
        while True:
            ended = self._ended.is_set()
            while sent < self._written:
                block = await to_thread.run_sync(os.pread, self._file.fileno(), _BLOCK, sent)
                sent += len(block)
                yield block
            if ended:
                return
            await anyio.sleep(_POLL_S)

    def close(self) -> None:
        """End the child where it still runs."""
        self._children.cancel()
        threading.Thread(target=self._close_file, daemon=True).start()

    def _close_file(self) -> None:
        self._ended.wait()
        self._file.close()
