"""Trials as work for a sweep's engines: each is drawn when a worker is free for it, and recorded when it is done."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import overload

from ....pipeline.errors import CamoeError
from ..cells import Cells
from ..code import code_version
from ..grid import Cell, Values
from ..plan import Plan
from ..result import PRUNED, RAW, TRIED, Result
from ..settings import key_of
from ..training_run import Group, TrainingRun
from .file import NO_PRUNER, Search, with_values
from .pruning import Steps, Stop
from .study import CellStudy, Trial


@dataclass(frozen=True)
class Tuned:
    """A cell, and the study of what its trials come to; without one where nothing of it is searched."""

    name: str
    cell: Cell
    study: CellStudy

    def steps(self, values: Values) -> Steps:
        """At which steps the epochs of a trial are told."""
        return Steps(with_values(self.cell, values).config.epochs, by_share="epochs" in self.study.space)


@dataclass(frozen=True)
class Runs:
    """The training runs of trials, a seed each, and the results that the folder has of them."""

    search: Search
    plan: Plan
    stored: Cells
    any_code: bool
    """Whether results count that other code made."""

    def of(self, tuned: Tuned, trial: Trial) -> Group:
        """A trial's runs: the first may be given up, and the others with it."""
        config = with_values(tuned.cell, trial.values).config
        runs = []
        for seed in self.search.trial_seeds:
            plain = replace(config, rerank="none", seed=seed).training
            key = key_of(plain, [RAW], store=self.plan.store.content_hash, protocol=self.plan.protocol, scored="val")
            name = f"{tuned.name}: trial {trial.number}, seed {seed}"
            runs.append(TrainingRun(key, plain, name=name, on_test=False))
        return tuple(runs)

    def known(self, key: str) -> Result | None:
        """The result of a run that a kill kept from being recorded in its study: whole, and not failed."""
        with suppress(CamoeError):
            found = self.stored.read(key)
            if found is not None and found.status in (TRIED, PRUNED):
                return found if self.any_code or found.code == code_version() else None
        return None


@dataclass
class _Given:
    """A trial that a worker has."""

    tuned: Tuned
    trial: Trial
    runs: Group
    results: dict[str, Result]


class Trials(Sequence[Group]):
    """The groups of all trials that are still to do, the studies in turn; drawn when they are first looked up."""

    def __init__(self, search: Search, studies: Sequence[Tuned], runs: Runs) -> None:
        self.search, self.runs = search, runs
        left = {place: max(0, search.trials - len(tuned.study.trials)) for place, tuned in enumerate(studies)}
        rounds = range(max(left.values(), default=0))
        self.order = [studies[place] for turn in rounds for place in left if turn < left[place]]
        self.given: dict[int, _Given] = {}
        self.by_key: dict[str, list[_Given]] = {}

    def __len__(self) -> int:
        return len(self.order)

    @overload
    def __getitem__(self, place: int) -> Group: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[Group]: ...

    def __getitem__(self, place: int | slice) -> Group | Sequence[Group]:
        """The group at `place`; the same one when it is looked up again, as an engine does that lost a worker."""
        if isinstance(place, slice):
            raise TypeError("trials are drawn one by one")
        if place not in self.given:
            tuned = self.order[place]
            trial = tuned.study.draw()
            runs = [replace(run, known=self.runs.known(run.key)) for run in self.runs.of(tuned, trial)]
            first, *others = runs
            first = replace(first, stop=self._stop(tuned, trial))
            given = self.given[place] = _Given(tuned, trial, (first, *others), {})
            for run in given.runs:
                self.by_key.setdefault(run.key, []).append(given)
        return self.given[place].runs

    def _stop(self, tuned: Tuned, trial: Trial) -> Stop | None:
        if self.search.pruner.name == NO_PRUNER:
            return None
        return Stop(self.search.pruner, self.search.objective, tuned.steps(trial.values), tuned.study.history)

    def end(self, result: Result) -> tuple[Tuned, Trial] | None:
        """Take the result of a run; returns the trial that is done by it, recorded, if one is.

        A result that is told again, by an engine that did a lost task twice, changes nothing.
        """
        given = next((given for given in self.by_key[result.key] if result.key not in given.results), None)
        if given is None:
            return None
        given.results[result.key] = result
        if len(given.results) < len(given.runs):
            return None
        results = [given.results[run.key] for run in given.runs]
        done = given.tuned.study.record(given.trial, results, given.tuned.steps(given.trial.values))
        return given.tuned, done
