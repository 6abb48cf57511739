from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas
import pytest
import torch
from camoe.evaluate.config import EvaluateConfig
from camoe.evaluate.run import evaluate
from camoe.evaluate.sweep.config import SweepConfig
from camoe.evaluate.sweep.folder import CELLS
from camoe.evaluate.sweep.plan import make_plan
from camoe.evaluate.sweep.result import Result
from camoe.evaluate.sweep.run import dry_run, sweep
from camoe.evaluate.sweep.training_run import run_as_ensemble
from camoe.evaluate.sweep.workers import Source, work
from camoe.pipeline.errors import CamoeError, RunStoppedError
from camoe.train.config import TrainConfig
from camoe.train.ensemble import Ensemble
from camoe.train.feature_cache import FeatureCache
from camoe.train.loop import fit

Quick = Callable[..., SweepConfig]
Lasting = Callable[[Path], pandas.DataFrame]
SMALL = "base: {epochs: 2, batch_size: 8, aggregator: mean}\n"
FOUR = SMALL + "grid: {loss: [ce, dsl], rerank: [none, dsl]}\nseeds: [0, 1]"


def quiet(_: str) -> None:
    pass


def records(folder: Path) -> dict[str, float]:
    return {path.name: path.stat().st_mtime for path in (folder / CELLS).iterdir()}


def _check_metrics(tidy: pandas.DataFrame, table: pandas.DataFrame) -> None:
    """A row a run, re-ranking, direction and metric; `results.csv` has the same numbers in columns."""
    assert len(tidy) == 4 * 2 * 2 * 6
    assert set(map(tuple, tidy["tags"])) == {("a|b",)}
    assert (tidy["transductive"] == (tidy["rerank"] == "dsl")).all()
    assert tidy["ms_per_query_100000"].notna().all()
    for row in table.to_dict("records"):
        own = tidy[(tidy["run"] == row["training"]) & (tidy["rerank"] == row["rerank"])]
        assert set(own["name"]) == {row["cell"]}
        values = {f"{one['direction']} {one['metric']}": one["value"] for one in own.to_dict("records")}
        assert all(row[name] == value for name, value in values.items() if "R@50" not in name)


def test_cells_have_the_numbers_of_the_commands(quick: Quick, store: Path, tmp_path: Path) -> None:
    config = quick(FOUR, workers=2, tags=("a|b",))
    outcome = sweep(config, quiet)
    assert outcome.status == 0
    table = pandas.read_csv(outcome.folder / "results.csv")
    assert len(table) == 8
    assert table["training"].nunique() == 4
    assert pandas.read_parquet(outcome.folder / "results.parquet").shape == table.shape
    _check_metrics(pandas.read_parquet(outcome.folder / "metrics.parquet"), table)
    assert json.loads((outcome.folder / "sweep.json").read_text())["tags"] == ["a|b"]
    assert "Tags: a|b." in (outcome.folder / "overview.md").read_text()
    settings = {"epochs": 2, "batch_size": 8, "aggregator": "mean", "loss": "dsl", "seed": 1, "device": "cpu"}
    run = fit(TrainConfig(features=(str(store),), out=tmp_path / "run", **settings))
    expected = evaluate(EvaluateConfig(run=run, rerank=("none", "dsl"), device="cpu")).rerankings
    for rerank in ("none", "dsl"):
        (row,) = table[(table["loss"] == "dsl") & (table["rerank"] == rerank) & (table["seed"] == 1)].to_dict("records")
        for direction in ("t2v", "v2t"):
            for metric in ("R@1", "R@5", "R@10", "MdR", "MnR"):
                assert row[f"{direction} {metric}"] == pytest.approx(expected[rerank][direction][metric])
    best = json.loads((run / "run.json").read_text())["selection"]
    raw = table[(table["loss"] == "dsl") & (table["rerank"] == "none") & (table["seed"] == 1)]
    assert raw["val R@1"].item() == pytest.approx(best["R@1"])
    assert raw["best_epoch"].item() == best["epoch"]
    tables = ("table.md", "table.tex", "overview.md", "costs.md", "costs.json", "curves.csv")
    for name in (*tables, "plots/grid-bars.png", "plots/grid-heat.svg"):
        assert (outcome.folder / name).stat().st_size > 100


def test_an_ensemble_gives_the_same_table(quick: Quick, lasting: Lasting, tmp_path: Path) -> None:
    text = SMALL + "grid: {loss: [ce, dsl], learning_rate: [1.0e-3, 3.0e-3]}\nseeds: [0, 1]"
    sweep(quick(text, out=tmp_path / "single"), quiet, ensemble=False)
    sweep(quick(text, out=tmp_path / "together"), quiet, ensemble=True)
    single, together = (lasting(tmp_path / name) for name in ("single", "together"))
    assert set(single["trained_together"]) == {1}
    assert set(together["trained_together"]) == {8}
    pandas.testing.assert_frame_equal(*(table.drop(columns="trained_together") for table in (single, together)))


def test_a_label_is_no_formula(quick: Quick) -> None:
    config = quick("include: [{model: zero-shot, label: '=1+1'}, {model: zero-shot, streams: entity, label: '@x'}]")
    folder = sweep(config, quiet).folder
    assert list(pandas.read_csv(folder / "results.csv")["cell"]) == ["'=1+1", "'@x"]
    assert [name[:2] for name in pandas.read_csv(folder / "curves.csv")["cell"]] == ["'=", "'@"]
    assert list(pandas.read_parquet(folder / "results.parquet")["cell"]) == ["=1+1", "@x"]


def test_a_finished_sweep_trains_nothing_again(quick: Quick) -> None:
    config = quick(SMALL + "grid: {gate: [none, full]}")
    before = records(sweep(config, quiet).folder)
    told: list[str] = []
    outcome = sweep(config, told.append)
    assert told[0].endswith("2 of 2 runs finished, 0 to do")
    assert records(outcome.folder) == before


def test_a_killed_sweep_goes_on_and_ends_like_another(quick: Quick, lasting: Lasting, tmp_path: Path) -> None:
    text = "base: {epochs: 15, batch_size: 8, aggregator: attention}\ngrid: {gate: [none, full]}\nseeds: [0, 1]"
    config = quick(text)
    command = ["--features", config.features[0], "--grid", config.grid, "--out", str(config.out), "--workers", "2"]
    words = [sys.executable, "-m", "camoe.evaluate.sweep.cli", *command, "--device", "cpu"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment)
    cells = tmp_path / "sweep" / CELLS
    deadline = time.monotonic() + 120
    while not list(cells.glob("*.json")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.wait()
    finished = {path.name for path in cells.glob("*.json")}
    before = records(config.out)
    assert len(finished) < 4
    assert dry_run(config).count("finished") == 1
    assert sweep(config, quiet).status == 0
    after = records(config.out)
    assert all(after[name] == before[name] for name in finished)
    sweep(quick(text, out=tmp_path / "clean"), quiet)
    pandas.testing.assert_frame_equal(lasting(config.folder("grid")), lasting(tmp_path / "clean"))
    assert (config.out / "table.md").read_text() == (tmp_path / "clean" / "table.md").read_text()


def test_an_interrupt_leaves_the_tables_of_what_is_there(quick: Quick) -> None:
    def interrupt(line: str) -> None:
        if line.startswith("1/2"):
            raise KeyboardInterrupt

    config = quick(SMALL + "grid: {gate: [none, full]}")
    with pytest.raises(KeyboardInterrupt):
        sweep(config, interrupt)
    assert list(pandas.read_csv(config.folder("grid") / "results.csv")["status"]) == ["ok", "missing"]
    assert "1 still to do: **these numbers are not final**" in (config.folder("grid") / "overview.md").read_text()
    assert not multiprocessing.active_children()


def test_a_failing_cell_is_recorded_and_the_others_go_on(quick: Quick) -> None:
    text = SMALL + "grid: {learning_rate: [1.0e-3, 1.0e+30]}\nseeds: [0, 1]"
    config = quick(text)
    outcome = sweep(config, quiet)
    assert outcome.status == 3
    table = pandas.read_csv(outcome.folder / "results.csv")
    assert list(table["status"]) == ["ok", "ok", "failed", "failed"]
    assert table["reason"].iloc[2].startswith("the ")
    assert "lower --learning-rate" in table["reason"].iloc[2]
    assert "learning_rate=1e+30: " in (outcome.folder / "overview.md").read_text()
    before = records(outcome.folder)
    assert sweep(config, quiet).status == 3
    assert records(outcome.folder) == before
    again = sweep(quick(text, retry_failed=True), quiet)
    assert sum(records(again.folder)[name] != before[name] for name in before) == 2


def test_a_failing_member_leaves_the_ensemble(quick: Quick) -> None:
    text = SMALL + "grid: {learning_rate: [1.0e-3, 1.0e+30, 2.0e-3]}"
    outcome = sweep(quick(text), quiet, ensemble=True)
    table = pandas.read_csv(outcome.folder / "results.csv")
    assert list(table["status"]) == ["ok", "failed", "ok"]
    assert list(table["trained_together"].dropna()) == [3, 3]


def test_a_process_that_dies_costs_its_cell_only(quick: Quick) -> None:
    """It is killed from outside when its first cell has trained an epoch."""
    config = quick(SMALL.replace("epochs: 2", "epochs: 40") + "grid: {gate: [none, full, single]}")
    plan = make_plan(config)
    source = Source(config.features, plan.protocol, False, "cpu", plan.store.content_hash)
    results: list[Result] = []
    killed = False
    for event in work(source, [(run,) for run in plan.runs.values()], 1):
        if isinstance(event, Result):
            results.append(event)
        elif not killed:
            (process,) = multiprocessing.active_children()
            process.kill()
            killed = True
    assert [result.status for result in results] == ["failed", "ok", "ok"]
    assert results[0].reason == "its process was killed by SIGKILL; if memory is short, use fewer --workers"
    assert [result.key for result in results] == list(plan.runs)
    assert not multiprocessing.active_children()


def test_another_store_or_grid_is_noticed(
    quick: Quick, random_store_maker: Callable[..., Path], tmp_path: Path
) -> None:
    one = SMALL + "grid: {gate: [none, full]}"
    sweep(quick(one), quiet)
    other = str(random_store_maker("other.h5", {"train": 40, "val": 12, "test": 20}, seed=1))
    with pytest.raises(CamoeError, match=r"sweep was begun with a store with content hash [0-9a-f]+…, not [0-9a-f]+…"):
        sweep(quick(one, features=(other,)), quiet)
    more = SMALL + "grid: {gate: [none, full, single]}"
    message = "begun with another grid: 2 training runs in common, 1 new, 0 gone; .* --extend"
    with pytest.raises(CamoeError, match=message):
        sweep(quick(more), quiet)
    told: list[str] = []
    sweep(quick(more, extend=True), told.append)
    assert told[0].endswith("2 of 3 runs finished, 1 to do")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(CamoeError, match="mine is not a sweep's folder and is left alone"):
        sweep(quick(one, out=tmp_path / "mine"), quiet)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["letter.txt"]


def test_a_store_that_changes_while_it_runs_stops_the_sweep(
    quick: Quick, random_store_maker: Callable[..., Path], store: Path
) -> None:
    def swap(line: str) -> None:
        os.replace(random_store_maker("other.h5", {"train": 40, "val": 12, "test": 20}, seed=1), store)

    with pytest.raises(RunStoppedError, match="has changed while the sweep ran"):
        sweep(quick(SMALL + "grid: {gate: [none, full]}"), swap)


def test_a_damaged_record_is_trained_again(quick: Quick) -> None:
    config = quick(SMALL + "grid: {gate: [none, full]}")
    outcome = sweep(config, quiet)
    first, second = sorted((outcome.folder / CELLS).glob("*.json"))
    text = first.read_text()
    first.write_text(text[:40])
    second.with_suffix(".npz").unlink()
    told: list[str] = []
    sweep(config, told.append)
    assert any(f"{first} is damaged (" in line for line in told)
    assert any(f"{second.with_suffix('.npz')} is missing; its run is trained again: gate=" in line for line in told)
    assert told[2].endswith("0 of 2 runs finished, 2 to do")
    keep = {key: value for key, value in json.loads(text).items() if key != "seconds"}
    again = json.loads(first.read_text())
    assert {key: value for key, value in again.items() if key not in ("seconds", "curve", "sha256")} == {
        key: value for key, value in keep.items() if key not in ("curve", "sha256")
    }


def test_missing_videos_stop_before_the_first_cell(quick: Quick, random_store_maker: Callable[..., Path]) -> None:
    text = SMALL + "grid: {gate: [none, full]}"
    counts = {"train": 4, "val": 2, "test": 2}
    features = (str(random_store_maker("lacking.h5", counts, without_features=(1,))),)
    with pytest.raises(CamoeError, match=r"1 video without features \(first: v0001\); .* --allow-missing"):
        make_plan(quick(text, features=features))
    assert make_plan(quick(text, features=features, allow_missing=True)).runs


def test_missing_sentences_stop_before_the_first_cell(quick: Quick) -> None:
    text = SMALL + "grid: {strategy: [full, rkw, muw]}"
    message = (
        "the store lacks texts of 1 cell .first: grid: strategy=rkw: no rkw/entity, rkw/action in the store.; "
        "camoe-extract --captions FILE --strategies rkw --into STORE adds them, .* --skip-unavailable"
    )
    with pytest.raises(CamoeError, match=message):
        sweep(quick(text), quiet)
    config = quick(text, skip_unavailable=True)
    assert not (config.out or Path()).exists()
    outcome = sweep(config, quiet)
    assert list(pandas.read_csv(outcome.folder / "results.csv")["strategy"]) == ["full", "muw"]
    assert "left out: grid: strategy=rkw" in (outcome.folder / "overview.md").read_text()


def test_a_dry_run_lists_cells_and_groups(quick: Quick) -> None:
    text = SMALL + "include: [{model: zero-shot}]\ngrid: {gate: [none, full], loss: [ce, dsl]}\nseeds: [0, 1]"
    config = quick(text)
    lines = dry_run(config, ensemble=True).splitlines()
    assert lines[:4] == [
        "grid",
        "   model      gate  loss    runs",
        "1  zero-shot  –     –          1",
        "2  camoe      none  ce         2",
    ]
    assert "5 cells, seeds 0, 1: 9 training runs (cells that differ only in re-ranking share one)" in lines
    assert [line for line in lines if line.startswith("group")] == [
        "group 1: 4 runs as one ensemble",
        "group 2: 4 runs as one ensemble",
    ]
    assert not (config.out or Path()).exists()


def test_groups_are_halved_when_memory_runs_out(quick: Quick, monkeypatch: pytest.MonkeyPatch) -> None:
    config = quick(SMALL + "grid: {gate: [full]}\nseeds: [0, 1, 2, 3, 4, 5]")
    runs = list(make_plan(config).runs.values())
    cache = FeatureCache(config.features, protocol=None, allow_missing=False, device=torch.device("cpu"))
    sizes: list[int] = []
    step = Ensemble.step

    def small_memory(self: Ensemble, *drawn: Any) -> torch.Tensor:
        if len(self) > 2:
            sizes.append(len(self))
            raise torch.OutOfMemoryError("no")
        return step(self, *drawn)

    monkeypatch.setattr(Ensemble, "step", small_memory)
    results = list(run_as_ensemble(cache, runs, lambda key, row: None))
    assert sizes == [6, 3]
    assert [result.status for result in results] == ["ok"] * 6
    assert [result.together for result in results] == [1] * 6
