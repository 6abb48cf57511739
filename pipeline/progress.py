"""How far a long piece of work has come, on standard error: a bar on a terminal, elsewhere a line now and then."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, TypeVar

LINE_EVERY_S = 30.0
"""Least seconds between two lines where standard error is no terminal."""


BarType = TypeVar("BarType", bound="Bar")


class Bar:
    """Work of `total` steps, `done` of them taken before; `style` are more of tqdm's options.

    `advance` and `show` are for the bar, `tell` is for the lines: whoever calls all three need not ask where it is.
    """

    def __init__(self, total: int, unit: str, *, done: int = 0, **style: Any) -> None:
        from tqdm import tqdm  # not needed for --help

        self.on_terminal = sys.stderr.isatty()
        self.bar = tqdm(total=total, initial=done, unit=unit, disable=not self.on_terminal, dynamic_ncols=True, **style)
        self.started = self.told = time.monotonic()

    def __enter__(self: BarType) -> BarType:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Leave the bar as it stands."""
        self.bar.close()

    @property
    def seconds(self) -> float:
        """Since it was begun."""
        return time.monotonic() - self.started

    def advance(self, steps: int = 1) -> None:
        """So many steps were taken."""
        self.bar.update(steps)

    def show(self, *, before: str | None = None, after: str | None = None) -> None:
        """Texts before and after the bar, drawn when it next moves."""
        if before is not None:
            self.bar.set_description_str(before, refresh=False)
        if after is not None:
            self.bar.set_postfix_str(after, refresh=False)

    def draw(self) -> None:
        """Draw it as it is, without waiting for a step."""
        self.bar.refresh()

    def tell(self, line: str, *, now: bool = False) -> None:
        """Write a line where there is no terminal, unless the last is not long ago; `now` writes it in any case."""
        if not self.on_terminal and (now or time.monotonic() - self.told >= LINE_EVERY_S):
            self.told = time.monotonic()
            print(line, file=sys.stderr, flush=True)
