"""How a run's progress is shown: bars on a terminal, and elsewhere a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .frames import FrameCounts

LINE_EVERY_S = 30.0
"""Seconds between two lines where standard error is a file."""


class Bars:
    """Progress of captions, then of videos with frames per second and failures, on standard error."""

    @contextmanager
    def videos(self, total: int) -> Iterator[Callable[[FrameCounts], None]]:
        started = time.monotonic()
        with _shown("videos", total) as advance:
            shown = 0

            def show(counts: FrameCounts) -> None:
                nonlocal shown
                rate = counts.frames / max(1e-9, time.monotonic() - started)
                advance(counts.videos - shown, f"{rate:.0f} frames/s, {counts.failed} failed")
                shown = counts.videos

            yield show

    def note(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    @contextmanager
    def captions(self, total: int) -> Iterator[Callable[[int], None]]:
        with _shown("captions", total) as advance:
            yield lambda done: advance(done, "")


@contextmanager
def _shown(what: str, total: int) -> Iterator[Callable[[int, str], None]]:
    if not sys.stderr.isatty():
        lines = _Lines(what, total)
        try:
            yield lines.advance
        finally:
            lines.write()
        return
    from tqdm import tqdm

    with tqdm(total=total, unit=f" {what}", desc=f"{what:<8}", dynamic_ncols=True) as bar:

        def advance(count: int, note: str) -> None:
            bar.set_postfix_str(note, refresh=False)
            bar.update(count)

        yield advance


class _Lines:
    def __init__(self, what: str, total: int) -> None:
        self.what, self.total, self.done, self.note = what, total, 0, ""
        self.started = self.written = time.monotonic()

    def advance(self, count: int, note: str) -> None:
        self.done += count
        self.note = note
        if time.monotonic() - self.written >= LINE_EVERY_S:
            self.write()

    def write(self) -> None:
        self.written = time.monotonic()
        note = f", {self.note}" if self.note else ""
        after_s = self.written - self.started
        print(f"{self.what}: {self.done} of {self.total} after {after_s:.0f} s{note}", file=sys.stderr, flush=True)
