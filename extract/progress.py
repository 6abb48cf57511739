"""Progress bars on the terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

from .frames import FrameCounts


class Bars:
    """One bar for captions, then one for videos with frames per second and failures."""

    @contextmanager
    def videos(self, total: int) -> Iterator[Callable[[FrameCounts], None]]:
        started = time.monotonic()
        with tqdm(total=total, unit=" videos", desc="videos  ", dynamic_ncols=True) as bar:

            def show(counts: FrameCounts) -> None:
                rate = counts.frames / max(1e-9, time.monotonic() - started)
                bar.set_postfix_str(f"{rate:.0f} frames/s, {counts.failed} failed", refresh=False)
                bar.update(1)

            yield show

    @contextmanager
    def captions(self, total: int) -> Iterator[Callable[[int], None]]:
        with tqdm(total=total, unit=" captions", desc="captions", dynamic_ncols=True) as bar:

            def show(done: int) -> None:
                bar.update(done)

            yield show
