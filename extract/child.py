"""Running one ffmpeg on one open file: what it may cost, what it says, how it ends.

Frames come by its standard output and their times by a pipe of their own. Its log is text, into which a file can have
its own words printed (titles, names, languages, with line breaks in them); see `FfmpegLog` for what is believed of it.
"""

from __future__ import annotations

import os
import resource
import secrets
import signal
import subprocess
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import IO

import numpy as np

from .ffmpeg_log import FfmpegLog, Pass
from .ffmpeg_output import ShownTimes

_MAX_ADDRESS_SPACE = 4 << 30
_CPU_PER_SECOND = 4
"""Processor seconds allowed for each second of time; only a child that outlives us should ever use them up."""


class DecodingCancelledError(Exception):
    """The run is over: its ffmpeg processes were ended, and no more are started."""


class Children:
    """The running ffmpeg processes of one decoder; once cancelled it starts no more."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._cancelled = False
        _all_children.add(self)

    def cancel(self) -> None:
        """End every running child and refuse new ones."""
        with self._lock:
            self._cancelled = True
            running = list(self._running)
        for child in running:
            _kill(child)

    def check(self) -> None:
        """Raises `DecodingCancelledError` once cancelled."""
        if self._cancelled:
            raise DecodingCancelledError

    @contextmanager
    def started(
        self, command: Sequence[str], descriptor: int, timeout_s: float, side: int | None = None
    ) -> Iterator[subprocess.Popen[bytes]]:
        """A child that reads `descriptor` and may write to `side`; it does not outlive the context."""
        self.check()
        os.lseek(descriptor, 0, os.SEEK_SET)
        child = subprocess.Popen(
            command,
            stdin=descriptor,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            pass_fds=() if side is None else (side,),
            env=_environment(),
        )
        try:
            with self._lock:
                self._running.add(child)
            self.check()
            _limit(child.pid, timeout_s)
            yield child
        finally:
            _kill(child)
            child.wait()
            with self._lock:
                self._running.discard(child)
        self.check()


_all_children: weakref.WeakSet[Children] = weakref.WeakSet()


def kill_children() -> None:
    """End every running child and cancel every decoder made so far; decoders made later work as usual."""
    for children in list(_all_children):
        children.cancel()


def read_frames(
    children: Children,
    command: Callable[[str, int], Sequence[str]],
    descriptor: int,
    *,
    timeout_s: float,
    resolution: int,
    stop: Callable[[Pass], bool] | None = None,
) -> Pass:
    """Run `command(mark, side)` on an open file and collect its frames of `resolution`.

    The command names its `showinfo` filter by `mark` and writes the times to the descriptor `side`. `stop` is asked
    once the header is known and after each frame; when it says so the child is killed and what came so far is
    returned with `stopped` set. Raises `DecodingCancelledError` after `kill_children`.
    """
    result, mark = Pass(), secrets.token_hex(8)
    shown = ShownTimes()
    reader, side = os.pipe()
    try:
        with (
            open(reader, "rb") as times,
            children.started(command(mark, side), descriptor, timeout_s, side) as child,
        ):
            side = _closed(side)

            def stop_when_enough() -> None:
                if stop is not None and not result.stopped and stop(result):
                    result.stopped = True
                    _kill(child)

            log = FfmpegLog(result, mark, stop_when_enough)
            with _supervised(child, result, timeout_s, (log.read, child.stderr), (shown.read, times)):
                assert child.stdout is not None
                size = resolution * resolution * 3
                while len(block := child.stdout.read(size)) == size:
                    result.frames.append(np.frombuffer(block, np.uint8).reshape(resolution, resolution, 3))
                    stop_when_enough()
    finally:
        _closed(side)
    result.times_s = [pts * result.time_base_s for pts in shown.pts[: len(result.frames)]]
    del result.frames[len(result.times_s) :]
    return result


def read_output(
    children: Children,
    command: Sequence[str],
    descriptor: int,
    *,
    timeout_s: float,
    read: Callable[[IO[bytes]], None],
) -> Pass:
    """Run a command on an open file and have `read` take in its standard output."""
    result = Pass()
    with children.started(command, descriptor, timeout_s) as child:
        log = FfmpegLog(result, secrets.token_hex(8))
        with _supervised(child, result, timeout_s, (log.read, child.stderr)):
            assert child.stdout is not None
            read(child.stdout)
    return result


@contextmanager
def _supervised(
    child: subprocess.Popen[bytes],
    result: Pass,
    timeout_s: float,
    *readers: tuple[Callable[[IO[bytes]], None], IO[bytes] | None],
) -> Iterator[None]:
    """While the caller reads the output: a thread for each other stream, and an end to what takes too long."""

    def overstay() -> None:
        if child.poll() is None:
            result.timed_out = True
            _kill(child)

    timer = threading.Timer(timeout_s, overstay)
    threads = [threading.Thread(target=read, args=(stream,), daemon=True) for read, stream in readers]
    for thread in (timer, *threads):
        thread.start()
    try:
        yield
        for thread in threads:
            thread.join()
        result.returncode = child.wait()
    finally:
        timer.cancel()
        _kill(child)
        for thread in threads:
            thread.join()
        for pipe in (child.stdout, child.stderr):
            if pipe is not None:
                pipe.close()


def _closed(descriptor: int) -> int:
    if descriptor >= 0:
        os.close(descriptor)
    return -1


def _environment() -> dict[str, str]:
    """Ours, with colours in the log: `FfmpegLog` knows real errors by them."""
    inherited = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "AV_LOG_FORCE_NOCOLOR")}
    return inherited | {"AV_LOG_FORCE_COLOR": "1"}


def _limit(pid: int, timeout_s: float) -> None:
    """Bounds on memory and processor time, where the system can set them for another process (Linux)."""
    if not hasattr(resource, "prlimit"):
        return
    seconds = int(_CPU_PER_SECOND * timeout_s) + 1
    with suppress(ProcessLookupError, PermissionError, ValueError):
        resource.prlimit(pid, resource.RLIMIT_CPU, (seconds, seconds + 1))
        resource.prlimit(pid, resource.RLIMIT_AS, (_MAX_ADDRESS_SPACE, _MAX_ADDRESS_SPACE))


def _kill(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
