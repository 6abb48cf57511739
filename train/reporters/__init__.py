"""Reporters: where a training run's numbers go besides its folder, one small interface and a class a tool.

A reporter of one's own is any object with these three methods: `fit(config, reporters=[mine])`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any, Protocol, cast

from ...pipeline.wording import visible
from ..names import REPORTERS

Row = Mapping[str, Any]
"""An epoch's numbers, `epoch` among them."""


class Reporter(Protocol):
    """Told of a run as it goes, in a thread of its own. What it raises ends the reporter, not the run."""

    def start(self, config: Mapping[str, Any], tags: Sequence[str], past: Sequence[Row]) -> None:
        """The run begins with these settings (JSON values); `past` are the epochs that a resumed one has behind it."""

    def epoch(self, values: Mapping[str, float], step: int) -> None:
        """An epoch has ended; `step` is its number, 0 that of the untrained model."""

    def end(self, results: Mapping[str, Any] | None) -> None:
        """The run has come to `results`, or to none where it was stopped."""


class Guarded:
    """A reporter in a thread of its own, so that neither its errors nor its waiting touch the run.

    An error is told in one line, after which it is left alone.
    """

    def __init__(self, reporter: Reporter) -> None:
        self.reporter = reporter
        self.name = getattr(reporter, "name", type(reporter).__name__)
        self.calls: SimpleQueue[tuple[str, tuple[Any, ...]] | None] = SimpleQueue()
        self.thread = Thread(target=self._work, name=f"reporter {self.name}", daemon=True)
        self.thread.start()

    def call(self, method: str, *values: Any) -> None:
        """Have `reporter.method(*values)` called, after what was asked before."""
        self.calls.put((method, values))

    def close(self, seconds: float) -> None:
        """Wait for what was asked, so long at most; an interrupt ends the wait."""
        self.calls.put(None)
        self.thread.join(seconds)
        if self.thread.is_alive():
            self._tell(f"{self.name} is still busy after {seconds:g} s and is not waited for")

    def _work(self) -> None:
        working = True
        while (asked := self.calls.get()) is not None:
            method, values = asked
            try:
                if working:
                    getattr(self.reporter, method)(*values)
            except BaseException as error:  # in this thread it would end nothing else
                working = False
                reason = " ".join(str(error).split())[:300] or type(error).__name__
                self._tell(f"{self.name} logs no more ({reason}); the run is not affected")

    def _tell(self, line: str) -> None:
        print(visible(line), file=sys.stderr, flush=True)


def open_reporters(names: Sequence[str], folder: Path, title: str) -> list[Reporter]:
    """The named ones of `REPORTERS`, for a run that is built in `folder` and called `title`; nothing is written yet.

    Raises `CamoeError` where one needs a package that is not installed.
    """
    found = []
    for name in names:
        module, _, kind = REPORTERS[name].partition(":")
        make = cast(Callable[[Path, str], Reporter], getattr(import_module(module, "camoe.train"), kind))
        found.append(make(folder, title))
    return found
