"""Studies: what is drawn depends on seeds and finished trials alone, and what is recorded outlives any kill."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from camoe.evaluate.sweep.config import SweepConfig
from camoe.evaluate.sweep.result import FAILED, PRUNED, TRIED, Result
from camoe.evaluate.sweep.tuning.file import Pruner, Search, read_search
from camoe.evaluate.sweep.tuning.pruning import Steps, Stop
from camoe.evaluate.sweep.tuning.study import CellStudy, Trial, open_studies, open_study, plain_step
from camoe.pipeline.errors import CamoeError

pytest.importorskip("optuna", reason="Optuna is not installed")
TEXT = """
search:
  learning_rate: {low: 1.0e-4, high: 1.0e-2, log: true}
  epochs: {low: 2, high: 6}
  gate: [none, full]
  streams: [fusion, [fusion, entity]]
trials: 20
pruner: {name: median, startup_trials: 1}
"""
STEPS = Steps(2, by_share=False)


@pytest.fixture
def search(tmp_path: Path) -> Search:
    (tmp_path / "mine.yaml").write_text(TEXT)
    return read_search(SweepConfig(features=("store.h5",), search=str(tmp_path / "mine.yaml")))


def study_at(path: Path, search: Search) -> CellStudy:
    return open_study("mine", search.space, search, open_studies(path), path)


def result(status: str = TRIED, recall: float = 50.0, seed: int = 0) -> Result:
    row = {"epoch": 1, "R@1": recall}
    return Result("abc", status, {}, seed, best=row, curve=({"epoch": 0, "R@1": 1.0}, row))


def value_of(trial: Trial) -> float:
    """Made up: the best learning rate is 0.001."""
    return 100 - abs(trial.values["learning_rate"] - 0.001) * 1000


def run(study: CellStudy, count: int) -> None:
    for _ in range(count):
        trial = study.draw()
        study.record(trial, [result(recall=value_of(trial))], STEPS)


def test_a_study_that_is_opened_again_draws_the_same_trials(search: Search, tmp_path: Path) -> None:
    whole = study_at(tmp_path / "whole", search)
    run(whole, 14)
    path = tmp_path / "parts"
    for count in (3, 8, 3):
        study = study_at(path, search)
        study.draw()  # and killed before it was done
        run(study_at(path, search), count)
    parts = study_at(path, search)
    assert parts.trials == whole.trials
    assert [trial.number for trial in parts.trials] == list(range(14))
    assert len({trial.values["learning_rate"] for trial in parts.trials}) == 14
    assert {trial.values["streams"] for trial in parts.trials} == {("fusion",), ("fusion", "entity")}
    best = max(whole.trials, key=value_of)
    assert parts.best == best
    assert best.value == pytest.approx(value_of(best))


def test_half_a_line_is_cut_off(search: Search, tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    run(study_at(path, search), 3)
    content = path.read_bytes()
    lines = content.splitlines(keepends=True)
    for cut in (len(content) - 1, len(content) - len(lines[-1]) // 2):
        path.write_bytes(content[:cut])
        (tmp_path / "study.journal.lock").symlink_to("gone")  # of a process that was killed while it wrote
        study = study_at(path, search)
        assert [trial.number for trial in study.trials] == [0, 1]
        run(study, 1)
        assert [trial.number for trial in study_at(path, search).trials] == [0, 1, 2]


@pytest.mark.parametrize("damage", [b"{}\n", b"[1]\n", b"x\n", b'{"op_code": 4}\n', b"[" * 100_000 + b"\n", b"\xff\n"])
def test_a_damaged_journal_is_named(damage: bytes, search: Search, tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    run(study_at(path, search), 2)
    whole = path.read_bytes()
    path.write_bytes(whole + damage)
    line = whole.count(b"\n") + 1
    reason = (
        "Optuna cannot make trials of it: KeyError" if b"op" in damage else rf"line {line} is none that Optuna wrote\)"
    )
    with pytest.raises(CamoeError, match=rf"study.journal is damaged \({reason}.*; put it back"):
        study_at(path, search)


def test_what_a_trial_comes_to(search: Search, tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    study = study_at(path, search)
    ends = ([result(recall=40), result(recall=50, seed=1)], [result(PRUNED, 90)], [result(FAILED)], [result(recall=45)])
    for results in ends:
        study.record(study.draw(), results, STEPS)
    trials = study_at(path, search).trials
    assert [trial.status for trial in trials] == [TRIED, PRUNED, FAILED, TRIED]
    assert [trial.value for trial in trials] == [45, None, None, 45]
    assert study.best == trials[0], "of equals the first; what was given up is not chosen"


def test_a_step_is_a_plain_number() -> None:
    assert plain_step(3 * 0.05) == 0.15 != 3 * 0.05
    assert plain_step(12) == 12


def test_epochs_of_other_trainings_meet_at_their_share() -> None:
    assert list(Steps(8, by_share=False).of(3)) == [3]
    for epochs in (1, 3, 48, 100, 250):
        steps = Steps(epochs, by_share=True)
        assert [step for epoch in range(1, epochs + 1) for step in steps.of(epoch)] == list(range(1, 101))
    assert list(Steps(4, by_share=True).of(2)) == list(range(26, 51))


def test_a_trial_below_the_median_is_given_up(search: Search, tmp_path: Path) -> None:
    study = study_at(tmp_path / "study.journal", search)
    for recall in (40, 60, 50):
        study.record(study.draw(), [result(recall=recall)], STEPS)

    def given_up(recall: float, steps: Steps = STEPS, **options: Any) -> bool:
        pruner = Pruner("median", {**search.pruner.options, **options})
        stop = Stop(pruner, "R@1", steps, study.history)
        assert not stop({"epoch": 0, "R@1": 0.0}), "the untrained model tells nothing"
        return stop({"epoch": 1, "R@1": recall})

    assert given_up(49)
    assert not given_up(50)
    assert not given_up(49, startup_trials=4), "too few to be compared with"
    assert not given_up(49, warmup=0.5), "too early"
    assert not given_up(49, steps=Steps(1, by_share=False)), "it is at its end"
