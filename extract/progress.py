"""What an extraction tells while it goes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..pipeline.progress import Bar

if TYPE_CHECKING:
    from .frames import FrameCounts


class Bars:
    """Progress of captions, then of videos with frames per second and failures."""

    @contextmanager
    def videos(self, total: int) -> Iterator[Callable[[FrameCounts], None]]:
        with _counted("videos", total) as (bar, advance):
            shown = 0

            def show(counts: FrameCounts) -> None:
                nonlocal shown
                rate = counts.frames / max(1e-9, bar.seconds)
                advance(counts.videos - shown, f"{rate:.0f} frames/s, {counts.failed} failed")
                shown = counts.videos

            yield show

    def note(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    @contextmanager
    def captions(self, total: int) -> Iterator[Callable[[int], None]]:
        with _counted("captions", total) as (_, advance):
            yield lambda done: advance(done, "")


@contextmanager
def _counted(what: str, total: int) -> Iterator[tuple[Bar, Callable[[int, str], None]]]:
    """A bar, and what moves it by a count with a note; however it ends, the last line says how far it came."""
    done, last = 0, ""

    def line() -> str:
        return f"{what}: {done} of {total} after {bar.seconds:.0f} s{f', {last}' if last else ''}"

    def advance(count: int, note: str) -> None:
        nonlocal done, last
        done, last = done + count, note
        bar.show(after=note)
        bar.advance(count)
        bar.tell(line())

    with Bar(total, f" {what}", desc=f"{what:<8}") as bar:
        try:
            yield bar, advance
        finally:
            bar.tell(line(), now=True)
