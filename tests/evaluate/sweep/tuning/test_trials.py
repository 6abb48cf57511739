"""Trials as work: drawn when they are looked up, the same when looked up again, done whatever order results come in."""

from __future__ import annotations

from pathlib import Path

import pytest
from camoe.evaluate.sweep.cells import Cells
from camoe.evaluate.sweep.config import SweepConfig
from camoe.evaluate.sweep.plan import plan_of
from camoe.evaluate.sweep.result import TRIED, Result
from camoe.evaluate.sweep.training_run import Group
from camoe.evaluate.sweep.tuning.file import read_search
from camoe.evaluate.sweep.tuning.study import open_studies, open_study
from camoe.evaluate.sweep.tuning.trials import Runs, Trials, Tuned

pytest.importorskip("optuna", reason="Optuna is not installed")
TEXT = """
base: {streams: fusion, epochs: 1}
grid: {model: [meanp, xpool]}
search: {dropout: [0, 0.1]}
trials: 3
trial_seeds: [0, 1]
"""


class Bench:
    """A search's trials in a folder, as a sweep that is begun there gives them out."""

    def __init__(self, store: Path, folder: Path) -> None:
        (folder / "mine.yaml").write_text(TEXT)
        config = SweepConfig(features=(str(store),), search=str(folder / "mine.yaml"))
        search = read_search(config)
        plan = plan_of(search.sweep, config)
        path = folder / "study.journal"
        storage = open_studies(path)
        self.studies = [
            Tuned(cell.name, cell, open_study(cell.name, search.space_of(cell), search, storage, path))
            for cell in search.sweep.cells
        ]
        self.cells = Cells(folder / "cells")
        self.trials = Trials(search, self.studies, Runs(search, plan, self.cells, any_code=False))

    def numbers(self) -> list[list[int]]:
        """Of the trials that are done, by cell."""
        return [[trial.number for trial in tuned.study.trials] for tuned in self.studies]


def results(group: Group) -> list[Result]:
    row = {"epoch": 1, "R@1": 50.0}
    return [Result(run.key, TRIED, {}, run.config.seed, best=row, curve=(row,)) for run in group]


def test_cells_take_turns_and_a_lost_trial_is_given_again(store: Path, tmp_path: Path) -> None:
    bench = Bench(store, tmp_path)
    trials = bench.trials
    assert len(trials) == 6
    groups = [trials[place] for place in range(6)]
    assert [group[0].config.model for group in groups] == ["meanp", "xpool"] * 3
    assert [[run.config.seed for run in group] for group in groups] == [[0, 1]] * 6
    assert all(group[0].stop is not None and group[1].stop is None for group in groups), "the first seed decides"
    assert trials[2] is groups[2], "a worker that was lost had it"
    keys = [run.key for group in groups for run in group]
    assert len(set(keys)) < len(keys), "two choices, three trials: some have the same settings"
    ended = [trials.end(result) for group in reversed(groups) for result in results(group)]
    assert sum(done is not None for done in ended) == 6
    assert trials.end(results(groups[2])[0]) is None, "a lost task that was done twice counts once"
    assert bench.numbers() == [[0, 1, 2], [0, 1, 2]]
    assert len(Bench(store, tmp_path).trials) == 0


def test_what_was_trained_but_not_recorded_is_taken_over(store: Path, tmp_path: Path) -> None:
    bench = Bench(store, tmp_path)
    group = bench.trials[0]
    written = [bench.cells.write(result) for result in results(group)]  # and killed before the second was told of
    bench.trials.end(written[0])
    again = Bench(store, tmp_path)
    assert again.numbers() == [[], []]
    first, second = again.trials[0]
    assert (first.key, first.config) == (group[0].key, group[0].config)
    assert [first.known, second.known] == written
    (tmp_path / "cells" / f"{second.key}.json").write_text("{")
    assert [run.known for run in Bench(store, tmp_path).trials[0]] == [written[0], None]
