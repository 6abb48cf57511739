from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from camoe.evaluate.config import EvaluateConfig
from camoe.evaluate.run import evaluate
from camoe.evaluate.table import render, training_names
from camoe.pipeline.errors import CamoeError

Maker = Callable[..., Path]


def test_a_run_equals_itself(random_run: Path) -> None:
    evaluation = evaluate(EvaluateConfig(run=random_run, compare=random_run, rerank=("none", "dsl"), bootstrap=50))
    assert evaluation.comparison is not None
    assert list(evaluation.comparison.differences) == ["none", "dsl"]
    for found in evaluation.comparison.differences.values():
        for direction in ("t2v", "v2t"):
            assert found[direction]["R@1"].to_json() == {"value": 0.0, "low": 0.0, "high": 0.0, "p_value": 1.0}


def test_training_against_zero_shot(random_run: Path, run_maker: Maker) -> None:
    store = random_run.parent / "store.h5"
    settings = {"aggregator": "mean", "epochs": 2, "batch_size": 16, "loss": "ce"}
    trained = run_maker("trained", store, model="camoe", **settings)
    evaluation = evaluate(EvaluateConfig(run=trained, compare=random_run, bootstrap=100))
    comparison = evaluation.comparison
    assert comparison is not None
    assert (comparison["run"], comparison["training"]["model"]) == (str(random_run), "zero-shot")
    mine = evaluation.rerankings["none"]["t2v"]["MnR"]
    theirs = comparison["rerankings"]["none"]["t2v"]["MnR"]
    difference = comparison["differences"]["none"]["t2v"]["MnR"]
    assert difference["value"] == pytest.approx(mine - theirs)
    assert difference["low"] <= difference["value"] <= difference["high"]
    text = render(evaluation)
    assert f"this run minus {random_run}" in text
    assert any("ce " in line and line.startswith(str(trained)) for line in text.splitlines())


def test_rows_of_two_runs_differ(random_run: Path, run_maker: Maker) -> None:
    """The same loss: then the models tell them apart, and where these are equal what else they were trained with."""
    store = random_run.parent / "store.h5"
    settings = {"epochs": 1, "batch_size": 16, "loss": "ce"}
    plain, seeded, pooled = (
        run_maker("plain", store, model="camoe", aggregator="mean", **settings),
        run_maker("seeded", store, model="camoe", aggregator="mean", seed=1, gate="full", **settings),
        run_maker("pooled", store, model="meanp", **settings),
    )
    for other, labels in (
        (seeded, ("ce gate=single, seed=0", "ce gate=full, seed=1")),
        (pooled, ("camoe ce", "meanp ce")),
        (random_run, ("ce", "untrained")),
        (plain, ("ce", "ce")),
    ):
        evaluation = evaluate(EvaluateConfig(run=plain, compare=other, rerank=("none",), bootstrap=10))
        assert training_names(evaluation) == labels
        rows = [line.split("  ")[0] for line in render(evaluation).splitlines() if line.startswith(str(plain.parent))]
        assert len(set(rows[:2])) == 2


def test_unlike_runs_are_refused(random_run: Path, random_store_maker: Maker, run_maker: Maker) -> None:
    settings = {"train": 60, "val": 20, "test": 40}
    foreign = run_maker("foreign", random_store_maker("s.h5", settings, seed=1))
    renamed = run_maker("renamed", random_store_maker("r.h5", settings, protocol="msvd"))
    with pytest.raises(
        CamoeError,
        match=r"random\d*/run and .*foreign cannot be compared: store is [0-9a-f]{12} and [0-9a-f]{12};",
    ):
        evaluate(EvaluateConfig(run=random_run, compare=foreign))
    with pytest.raises(CamoeError, match="protocol is own and msvd"):
        evaluate(EvaluateConfig(run=random_run, compare=renamed))
    assert not (foreign / "evaluation").exists()
    common = (str(random_run.parent / "store.h5"),)
    assert evaluate(EvaluateConfig(run=foreign, compare=random_run, features=common)).comparison is not None


def test_runs_that_held_out_different_videos(random_store_maker: Maker, run_maker: Maker) -> None:
    store = random_store_maker("s.h5", {"train": 30, "test": 6})
    settings = {"model": "meanp", "epochs": 1, "batch_size": 8}
    first, second = (run_maker(f"run{seed}", store, seed=seed, **settings) for seed in (0, 1))
    with pytest.raises(CamoeError, match=r"run0 and .*run1 cannot be compared: they held out different videos as val"):
        evaluate(EvaluateConfig(run=first, compare=second, subset="val"))
    assert evaluate(EvaluateConfig(run=first, compare=second, bootstrap=10)).comparison is not None
