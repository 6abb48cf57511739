"""What a search tells while it runs: trials done, time left, the best so far of each cell."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType

from ....pipeline.progress import Bar
from ..grid import shown
from ..progress import Say, clock
from ..result import FAILED, PRUNED
from .study import Trial
from .trials import Tuned

HOW = {FAILED: "failed", PRUNED: "given up"}


class TrialProgress:
    """A bar on a terminal, elsewhere a line per trial through `say`; time left goes by trials."""

    def __init__(self, total: int, left: int, objective: str, say: Say) -> None:
        self.total, self.left, self.begun, self.objective, self.say = total, left, left, objective, say
        self.bar = Bar(total, "trial", done=total - left, bar_format="{desc} |{bar:20}| {elapsed} gone{postfix}")

    def __enter__(self) -> TrialProgress:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.bar.close()

    def done(self, tuned: Tuned, trial: Trial) -> None:
        """A trial is recorded."""
        self.left -= 1
        told = f"val {self.objective} {trial.value:.1f}" if trial.value is not None else HOW[str(trial.status)]
        best = tuned.study.best
        lead = "" if best is None else f"best val {self.objective} {best.value:.1f} (trial {best.number})"
        left = f", about {clock(self.seconds_left())} left" if self.left else ""
        done = f"{self.total - self.left}/{self.total}"
        self.bar.show(before=f"{done} trials{left}", after=f"{tuned.name}: {lead}")
        self.bar.advance()
        if not self.bar.on_terminal:
            name = f"{tuned.name}: trial {trial.number} ({named(trial.values)})"
            self.say(f"{done}{left}: {name}: {told}" + (f"; {lead}" if lead else ""))

    def seconds_left(self) -> float:
        """By the trials done so far."""
        return self.bar.seconds * self.left / max(self.begun - self.left, 1)


def named(values: Mapping[str, object]) -> str:
    """`learning_rate=0.0021, gate=full`."""
    return ", ".join(f"{name}={shown(value)}" for name, value in values.items())
