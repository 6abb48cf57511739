"""When a trial is given up: by what it comes to on val while it trains, beside the trials that were done before it.

The rule is Optuna's. It is asked where the trial is trained, in a process or on a node, of the trials that were done
when the trial began, so that nobody waits for anybody.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ....pipeline.extras import needs_extra
from .file import NO_PRUNER, Pruner

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial

PERCENT = 100


@dataclass(frozen=True)
class Steps:
    """At which steps Optuna hears of an epoch of `epochs`: at its number, or `by_share` at percents of the training.

    Trials of different lengths are compared by their share: the learning rate goes by it too.
    """

    epochs: int
    by_share: bool

    @property
    def count(self) -> int:
        """The last step."""
        return PERCENT if self.by_share else self.epochs

    def of(self, epoch: int) -> Iterable[int]:
        """The steps that an epoch, from 1, stands for; all epochs together stand for each once."""
        if not self.by_share:
            return (epoch,)
        first, last = (PERCENT * done // self.epochs for done in (epoch - 1, epoch))
        return range(first + 1, last + 1)


@dataclass
class Stop:
    """Asked after each epoch of a trial whether it is given up; `history` are the trials that were done before."""

    pruner: Pruner
    objective: str
    steps: Steps
    history: Sequence[FrozenTrial]
    _begun: tuple[Study, Trial] | None = field(default=None, repr=False)

    def __call__(self, row: Mapping[str, Any]) -> bool:
        """`row`: the epoch's metrics; epoch 0, the untrained model, tells nothing."""
        if row["epoch"] == 0:
            return False
        if self._begun is None:
            self._begun = self._begin()
        _, trial = self._begun
        for step in self.steps.of(int(row["epoch"])):
            trial.report(row[self.objective], step)
            if trial.should_prune():
                return int(row["epoch"]) < self.steps.epochs
        return False

    def _begin(self) -> tuple[Study, Trial]:
        with needs_extra("optuna", "--search"):
            import optuna
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        pruner = make_pruner(self.pruner, self.steps.count)
        study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(), pruner=pruner)
        study.add_trials(self.history)
        return study, study.ask()


def make_pruner(asked: Pruner, steps: int) -> BasePruner:
    """Optuna's pruner for trials of so many steps."""
    from optuna.pruners import NopPruner, PercentilePruner

    if asked.name == NO_PRUNER:
        return NopPruner()
    percentile = asked.options.get("percentile", 50.0)  # the median
    startup, first = int(asked.options["startup_trials"]), int(asked.options["warmup"] * steps) + 1
    return PercentilePruner(percentile, n_startup_trials=startup, n_warmup_steps=first)
