"""Optuna's studies of a search, one a cell, kept as `study.journal` in the sweep's folder.

The journal is Optuna's own: a file that is only appended to, a line a trial. It holds the trials that are done: a
kill leaves at worst half a line, which the next start cuts off, and a trial that was under way is done again. Only the
process that holds the folder's lock writes it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from ....pipeline.atomic import write_atomic
from ....pipeline.errors import CamoeError
from ....pipeline.extras import needs_extra
from ....pipeline.json_text import parse_json
from ....pipeline.regular import read_regular
from ..grid import Values, shown
from ..result import FAILED, PRUNED, TRIED, Result
from .file import Search
from .pruning import Steps
from .space import Choices, Range, Space

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial
    from optuna.trial import Trial as Drawn

JOURNAL = "study.journal"
NUMBER = "number"
"""The attribute of an Optuna trial that holds its number in the order of drawing, from 0."""


@dataclass(frozen=True)
class Trial:
    """A trial: its number, the settings that were drawn, and, where it is done, its status and what it came to on val.

    `value` is the mean over its seeds at each one's best epoch; none where it was given up or failed.
    """

    number: int
    values: Values
    status: str | None = None
    value: float | None = None


class CellStudy:
    """The trials of one cell: drawn here, and recorded when they are done."""

    def __init__(self, name: str, space: Space, search: Search, storage: BaseStorage) -> None:
        """Raises `CamoeError` where the journal holds something else under that name."""
        import optuna

        self.space, self.search = space, search
        known = name in optuna.get_all_study_names(storage)
        self.recorded = (
            optuna.load_study(study_name=name, storage=storage)
            if known
            else optuna.create_study(study_name=name, storage=storage, direction="maximize")
        )
        self.live = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler())
        self.live.add_trials(self.recorded.trials)
        self.drawn: dict[int, Drawn] = {}

    @property
    def trials(self) -> list[Trial]:
        """Those that are done, by number."""
        return sorted(map(self._trial, self.history), key=lambda trial: trial.number)

    @property
    def history(self) -> list[FrozenTrial]:
        """Optuna's records of the trials that are done, to be read."""
        return self.live.get_trials(deepcopy=False, states=_done())  # copies would take longer than a small training

    @property
    def best(self) -> Trial | None:
        """The best on val of those that were trained to their end, the first of equals."""
        tried = [trial for trial in self.trials if trial.value is not None]
        return max(tried, key=lambda trial: (trial.value, -trial.number), default=None)

    def draw(self) -> Trial:
        """The next trial: it depends on the sampler's seed, the trial's number and the trials that are done."""
        taken = {trial.number for trial in self.trials} | self.drawn.keys()
        number = next(number for number in range(len(taken) + 1) if number not in taken)
        seed = np.random.SeedSequence([self.search.sampler_seed, number]).generate_state(1)[0]
        self.live.sampler = _sampler(self.search.sampler, int(seed))
        drawn = self.drawn[number] = self.live.ask({name: _distribution(part) for name, part in self.space.items()})
        drawn.set_user_attr(NUMBER, number)
        return Trial(number, self._values(drawn.params))

    def record(self, trial: Trial, results: Sequence[Result], steps: Steps) -> Trial:
        """Add a trial that is done, in one line of the journal; `results` are its seeds'."""
        from optuna.trial import TrialState

        drawn, metric = self.drawn.pop(trial.number), self.search.objective
        for row in results[0].curve:
            for step in steps.of(int(row["epoch"])) if row["epoch"] else ():
                drawn.report(row[metric], step)
        statuses = {result.status for result in results}
        if statuses == {TRIED}:
            self.live.tell(drawn, fmean(result.best[metric] for result in results))
        else:
            self.live.tell(drawn, state=TrialState.FAIL if FAILED in statuses else TrialState.PRUNED)
        done = self.live.get_trials(deepcopy=False)[drawn.number]
        self.recorded.add_trial(done)
        return self._trial(done)

    def _trial(self, done: FrozenTrial) -> Trial:
        from optuna.trial import TrialState

        status = {TrialState.COMPLETE: TRIED, TrialState.PRUNED: PRUNED}.get(done.state, FAILED)
        return Trial(
            int(done.user_attrs[NUMBER]), self._values(done.params), status, done.value if status == TRIED else None
        )

    def _values(self, drawn: Mapping[str, Any]) -> Values:
        """Settings as a config takes them."""
        found = {}
        for name, value in drawn.items():
            part = self.space[name]
            if isinstance(part, Choices):
                found[name] = part.values[_labels(part).index(value)]
            else:
                found[name] = value if part.step is None else plain_step(value)
        return found


def open_studies(path: Path) -> BaseStorage:
    """The journal at `path`, made where there is none; a line that a kill cut off is taken away.

    Raises `CamoeError` where it is damaged, or Optuna is not installed.
    """
    with needs_extra("optuna", "--search"):
        import optuna
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    path.with_name(f"{path.name}.lock").unlink(missing_ok=True)  # of a killed process, for which Optuna would wait
    try:
        content = read_regular(path)
        whole = content[: content.rfind(b"\n") + 1]
        for number, line in enumerate(whole.splitlines(), 1):
            _check_line(line, number)
        if whole != content:
            write_atomic(path, whole)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise _damaged(path, error.strerror or str(error)) from None
    except ValueError as error:
        raise _damaged(path, str(error)) from None
    try:
        return JournalStorage(JournalFileBackend(str(path)))
    except Exception as error:  # it replays whatever the lines say
        raise _damaged(path, _replayed(error)) from None


def _check_line(line: bytes, number: int) -> None:
    try:
        entry = parse_json(line)
    except ValueError:
        entry = None
    if not isinstance(entry, dict) or "op_code" not in entry:
        raise ValueError(f"line {number} is none that Optuna wrote")


def open_study(name: str, space: Space, search: Search, storage: BaseStorage, path: Path) -> CellStudy:
    """The study of that name in the journal at `path`; raises `CamoeError` where its trials are not ours."""
    try:
        study = CellStudy(name, space, search, storage)
        trials = study.trials
    except Exception as error:  # it replays whatever the lines say
        raise _damaged(path, _replayed(error)) from None
    if any(trial.values.keys() != space.keys() for trial in trials):
        raise _damaged(path, "a trial has other settings")
    return study


def study_name(cell: str, dependence: Mapping[str, Any]) -> str:
    """A cell's name, and eight digits of what its trials depend on."""
    digits = hashlib.sha256(json.dumps(dependence, sort_keys=True).encode()).hexdigest()[:8]
    return f"{cell} {digits}"


def _replayed(error: Exception) -> str:
    """What a line says that is none of Optuna's; its own words tell where."""
    return f"Optuna cannot make trials of it: {type(error).__name__}, {' '.join(str(error).split())[:200]}"


def _damaged(path: Path, reason: str) -> CamoeError:
    return CamoeError(f"{path} is damaged ({reason}); put it back from a copy, or give another --out")


def plain_step(value: float) -> float:
    """A number that steps led to, without what adding them up left behind the twelfth digit."""
    return value if isinstance(value, int) else float(f"{value:.12g}")


def _done() -> tuple[Any, ...]:
    from optuna.trial import TrialState

    return TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL


def _sampler(name: str, seed: int) -> Any:
    import optuna

    return {"tpe": optuna.samplers.TPESampler, "random": optuna.samplers.RandomSampler}[name](seed=seed)


def _distribution(part: Range | Choices) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(part, Choices):
        return CategoricalDistribution(_labels(part))
    if isinstance(part.low, int):
        return IntDistribution(part.low, int(part.high), log=part.log, step=int(part.step or 1))
    return FloatDistribution(part.low, part.high, log=part.log, step=part.step)


def _labels(part: Choices) -> list[Any]:
    """What stands for each choice in Optuna, which takes no lists."""
    return [shown(value) if isinstance(value, tuple) else value for value in part.values]
