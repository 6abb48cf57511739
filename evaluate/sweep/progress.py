"""What a sweep tells while it runs: cells done, time left, the best so far."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any

from ...pipeline.progress import Bar
from .result import FAILED, Result
from .training_run import TrainingRun

Say = Callable[[str], None]


class SweepProgress:
    """A bar on a terminal, elsewhere a line per finished run through `say`; time left goes by epochs."""

    def __init__(self, runs: dict[str, TrainingRun], kept: int, say: Say) -> None:
        self.runs, self.say = runs, say
        self.kept, self.total = kept, kept + len(runs)
        self.epochs = {key: _epochs(run) for key, run in runs.items()}
        self.seen = dict.fromkeys(runs, 0)
        self.done = self.failed = 0
        self.best: Result | None = None
        self.bar = Bar(
            sum(self.epochs.values()),
            "epoch",
            bar_format="{desc} |{bar:20}| {elapsed} gone, {remaining} left{postfix}",
        )

    def __enter__(self) -> SweepProgress:
        self._show()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.bar.close()

    def epoch(self, key: str, row: dict[str, Any]) -> None:
        """A run has finished an epoch."""
        self._advance(key, int(row["epoch"]))

    def result(self, result: Result) -> None:
        """A run is done."""
        self.done += 1
        self.failed += result.status == FAILED
        self._advance(result.key, self.epochs[result.key])
        better = self.best is None or result.selection > self.best.selection
        alone = not self.runs[result.key].config.emcl  # the others need all queries at once, and are told apart
        if result.status != FAILED and result.selection == result.selection and better and alone:
            self.best = result
        self._show()
        if not self.bar.on_terminal:
            self.say(self._line(result))

    def _advance(self, key: str, epoch: int) -> None:
        self.bar.advance(epoch - self.seen[key])
        self.seen[key] = epoch

    def _show(self) -> None:
        failed = f", {self.failed} failed" if self.failed else ""
        runs, best = f"{self.kept + self.done}/{self.total} runs{failed}", self._best() if self.best else ""
        self.bar.show(before=runs, after=best)
        self.bar.draw()

    def _best(self) -> str:
        assert self.best is not None
        return f"best val R@1 {self.best.selection:.1f} ({self.runs[self.best.key].name})"

    def _line(self, result: Result) -> str:
        name = self.runs[result.key].name
        told = f"failed: {result.reason}" if result.status == FAILED else f"val R@1 {result.selection:.1f}"
        left = f", about {clock(self.seconds_left())} left" if self.kept + self.done < self.total else ""
        best = f"; {self._best()}" if self.best else ""
        return f"{self.kept + self.done}/{self.total}{left}: {name}: {told}{best}"

    def seconds_left(self) -> float:
        """By the epochs done so far."""
        seen, whole = sum(self.seen.values()), sum(self.epochs.values())
        return self.bar.seconds * (whole - seen) / max(seen, 1)


def clock(seconds: float) -> str:
    """`1:02:03` or `2:03`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _epochs(run: TrainingRun) -> int:
    """What a run counts for; one that trains nothing as one."""
    return run.config.epochs if run.config.facts.trains else 1
