"""What a training run tells while it goes: a bar on a terminal, elsewhere a line now and then."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

from tqdm import tqdm

EVERY_SECONDS = 30.0
"""Least time between two lines where there is no terminal."""


class Progress:
    """Steps of `epochs · steps`, of which `done` epochs were taken before."""

    def __init__(self, epochs: int, steps: int, done: int) -> None:
        self.epochs, self.told = epochs, time.monotonic()
        self.bar = tqdm(total=epochs * steps, initial=done * steps, unit="step", disable=None)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.bar.close()

    def step(self) -> None:
        """A step was taken."""
        self.bar.update()

    def epoch(self, row: dict[str, Any], best: float) -> None:
        """An epoch has ended with these metrics; `best` is the best R@1 so far."""
        text = f"epoch {row['epoch']}/{self.epochs}, loss {row['loss']:.3f}, val R@1 {row['R@1']:.1f}, best {best:.1f}"
        self.bar.set_description(text)
        if not sys.stderr.isatty() and time.monotonic() - self.told >= EVERY_SECONDS:
            self.told = time.monotonic()
            print(text, file=sys.stderr, flush=True)
