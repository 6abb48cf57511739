"""Whole searches on a random store: the same numbers as by hand, whoever is killed; test is kept for what is chosen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas
import pytest
from camoe.evaluate.config import EvaluateConfig
from camoe.evaluate.run import evaluate
from camoe.evaluate.sweep.config import SweepConfig
from camoe.evaluate.sweep.folder import CELLS
from camoe.evaluate.sweep.run import dry_run, sweep
from camoe.evaluate.sweep.training_run import TrainingRun, run_trial
from camoe.evaluate.sweep.tuning.study import JOURNAL
from camoe.pipeline.config import load_config
from camoe.pipeline.errors import CamoeError
from camoe.train.config import TrainConfig
from camoe.train.feature_cache import FeatureCache
from camoe.train.loop import fit

pytest.importorskip("optuna", reason="Optuna is not installed")
TEXT = """
base: {batch_size: 8, streams: fusion, text_head: linear}
grid: {model: [zero-shot, meanp], rerank: [none, dsl]}
search:
  learning_rate: {low: 1.0e-4, high: 1.0e-1, log: true}
  epochs: {low: 2, high: 5}
trials: 6
trial_seeds: [3, 4]
seeds: [3, 5]
pruner: {name: median, startup_trials: 2}
"""
Search = Callable[..., SweepConfig]


@pytest.fixture
def search(store: Path, tmp_path: Path) -> Search:
    """A search on the random store, in one process unless told."""

    def make(text: str = TEXT, **changes: object) -> SweepConfig:
        path = tmp_path / "mine.yaml"
        path.write_text(text)
        values: dict = {"features": (str(store),), "search": str(path), "out": tmp_path / "search", "workers": 1}
        return SweepConfig(**(values | {"device": "cpu"} | changes))

    return make


def trials_of(folder: Path) -> pandas.DataFrame:
    return pandas.read_csv(folder / "trials.csv").drop(columns="seconds")


def recorded(folder: Path) -> int:
    """How many trials the journal holds."""
    try:
        return sum('"op_code":4' in line for line in (folder / JOURNAL).read_text().splitlines())
    except FileNotFoundError:
        return 0


@pytest.fixture
def killed(search: Search) -> SweepConfig:
    """A search that was killed with -9 when it had recorded two trials."""
    config = search()
    words = ["--features", config.features[0], "--search", str(config.search), "--out", str(config.out)]
    command = [sys.executable, "-m", "camoe.evaluate.sweep.cli", *words, "--device", "cpu", "--workers", "1"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment)
    deadline = time.monotonic() + 240
    while recorded(config.folder("mine")) < 2:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.communicate()
    return config


def test_a_killed_search_ends_like_another_and_like_training_by_hand(
    killed: SweepConfig, search: Search, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("camoe.evaluate.sweep.stages.write_plots", lambda tables, folder: [])  # slow, and tested
    folder = killed.folder("mine")
    before = {path: path.stat().st_mtime_ns for path in (folder / CELLS).iterdir()}
    done = recorded(folder)
    assert 2 <= done < 6, "killed in the middle"
    told: list[str] = []
    outcome = sweep(killed, told.append)
    assert outcome.status == 0
    assert told[0].endswith(f"{done} of 6 trials done, {6 - done} to do")
    assert recorded(folder) == 6
    kept = [path for path, when in before.items() if path.stat().st_mtime_ns == when]
    assert len(kept) >= 4, "what was finished is not trained again"
    clean = sweep(search(out=tmp_path / "clean"), lambda line: None)
    ours, theirs = trials_of(folder), trials_of(clean.folder)
    pandas.testing.assert_frame_equal(ours, theirs)
    assert (folder / "table.md").read_text() == (clean.folder / "table.md").read_text()
    tuned = "learning rate, epochs of each model chosen on val R@1 among 6 trials"
    assert tuned in (folder / "table.md").read_text()
    check_rows(ours)
    check_by_hand(folder, ours, store, tmp_path)
    before = {path: path.read_bytes() for path in folder.glob("[cs]*/*")}
    assert sweep(killed, lambda line: None).status == 0
    assert {path: path.read_bytes() for path in folder.glob("[cs]*/*")} == before
    with pytest.raises(CamoeError, match="search was begun with another space of the search; keep what both have with"):
        sweep(search(TEXT.replace("high: 5", "high: 6")), lambda line: None)


def check_rows(trials: pandas.DataFrame) -> None:
    """A row a trial and seed, of the one cell that learns; test is in none of them."""
    assert list(trials["cell"].unique()) == ["model=meanp"]
    assert list(trials["trial"]) == [number for number in range(6) for _ in range(2)]
    assert list(trials["seed"]) == [3, 4] * 6
    assert set(trials["status"]) <= {"tried", "pruned"}
    assert not [name for name in trials if name.startswith(("t2v", "v2t"))]
    tried = trials[trials["status"] == "tried"]
    assert tried.groupby("trial")["val R@1"].mean().tolist() == pytest.approx(
        tried.groupby("trial")["trial's val R@1"].first().tolist()
    )
    assert (tried["epochs_trained"] == tried["epochs"]).all()
    given_up = trials[(trials["status"] == "pruned") & (trials["seed"] == 3)]
    assert (given_up["epochs_trained"] < given_up["epochs"]).all()
    best = tried["trial's val R@1"].max()
    assert set(tried[tried["chosen"]]["trial"]) == {tried[tried["trial's val R@1"] == best]["trial"].min()}


def check_by_hand(folder: Path, trials: pandas.DataFrame, store: Path, tmp_path: Path) -> None:
    """The best trial and what the tables say of it are those of `camoe-train --config` and `camoe-evaluate`."""
    (config_file,) = (folder / "best").iterdir()
    assert config_file.name == "model=meanp.yaml"
    config = load_config(TrainConfig, config_file, {"out": tmp_path / "run", "device": "cpu"})
    run = fit(config)
    selection = json.loads((run / "run.json").read_text())["selection"]
    trial = trials[trials["chosen"] & (trials["seed"] == 3)].to_dict("records")[0]
    assert (trial["val R@1"], trial["best_epoch"]) == (selection["R@1"], selection["epoch"])
    assert (trial["learning_rate"], trial["epochs"]) == (config.learning_rate, config.epochs)
    table = pandas.read_csv(folder / "results.csv")
    assert list(table["cell"]) == [
        *("model=zero-shot, rerank=none", "model=zero-shot, rerank=dsl"),
        *("model=meanp, rerank=none",) * 2,
        *("model=meanp, rerank=dsl",) * 2,
    ]
    expected = evaluate(EvaluateConfig(run=run, rerank=("none", "dsl"), device="cpu")).rerankings
    for rerank in ("none", "dsl"):
        (row,) = table[(table["model"] == "meanp") & (table["rerank"] == rerank) & (table["seed"] == 3)].to_dict(
            "records"
        )
        for direction in ("t2v", "v2t"):
            for metric in ("R@1", "MnR"):
                assert row[f"{direction} {metric}"] == pytest.approx(expected[rerank][direction][metric])


def test_a_preview_writes_nothing(search: Search) -> None:
    config = search()
    assert dry_run(config).splitlines() == [
        "learning_rate: 0.0001 to 0.1, log",
        "epochs: 2 to 5",
        "cell model=meanp: learning_rate, epochs",
        "6 trials of 1 cell, each with seeds 3, 4: 12 training runs; sampler tpe 0, pruner median, by val R@1",
        "then 3 training runs of what is chosen, scored on test as 4 cells (re-rankings are cells too)",
    ]
    assert not config.folder("mine").exists()


def test_a_trial_is_never_scored_on_test(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither one that is trained to its end nor one that is given up; the other seeds of such a one are not begun."""
    import torch

    cache = FeatureCache((str(store),), protocol=None, allow_missing=False, device=torch.device("cpu"))
    monkeypatch.setattr("camoe.evaluate.sweep.training_run.rank_subset", None)
    config = TrainConfig(features=(str(store),), model="meanp", streams="fusion", epochs=3, batch_size=8)
    seen: list[int] = []

    def stop(row: dict) -> bool:
        seen.append(row["epoch"])
        return row["epoch"] == 2

    def quiet(key: str, row: dict) -> None:
        pass

    (done,) = run_trial(cache, [TrainingRun("a", config, on_test=False)], quiet)
    assert (done.status, done.metrics, done.curve[-1]["epoch"]) == ("tried", {}, 3)
    first = TrainingRun("a", config, on_test=False, stop=stop)
    given_up, other = run_trial(cache, [first, TrainingRun("b", config, on_test=False)], quiet)
    assert seen == [0, 1, 2]
    assert (given_up.status, given_up.reason, given_up.metrics) == ("pruned", "given up after epoch 2", {})
    assert (other.status, other.reason) == ("pruned", "given up with seed 0")
    (again,) = run_trial(cache, [TrainingRun("a", config, on_test=False, known=done)], quiet)
    assert again is done
