"""Sweeps killed at random moments, and altered grids."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pandas
import pytest
from camoe.evaluate.sweep.config import SweepConfig
from camoe.evaluate.sweep.folder import CELLS
from camoe.evaluate.sweep.grid import read_grid
from camoe.evaluate.sweep.run import sweep
from camoe.pipeline.errors import CamoeError

Quick = Callable[..., SweepConfig]
Lasting = Callable[[Path], pandas.DataFrame]
GRID = """title: Four
base: {epochs: 3, batch_size: 8, aggregator: mean}
include: [{model: zero-shot, label: untrained}]
grid: {gate: [none, full], loss: [ce, dsl], rerank: [none, dsl]}
exclude: [{gate: full, loss: dsl}]
seeds: [0, 1]
"""


@pytest.mark.soak
def test_a_sweep_that_is_killed_ends_like_one_that_was_not(
    quick: Quick, lasting: Lasting, tmp_path: Path, soak_count: Callable[[int, int], int]
) -> None:
    """Killed with -9 after a random time, again and again; a new sweep is begun whenever one has come to its end."""
    clean = sweep(quick(GRID, out=tmp_path / "clean"), lambda line: None).folder
    expected, draw = _numbers(clean, lasting), random.Random(0)
    config = quick(GRID)
    words = ["--features", config.features[0], "--grid", config.grid, "--workers", "2", "--device", "cpu"]
    command = [sys.executable, "-m", "camoe.evaluate.sweep.cli", *words]
    kills, sweeps, errors = 0, 0, tmp_path / "stderr"
    while kills < soak_count(1, 100):
        folder = tmp_path / f"sweep{sweeps}"
        process = subprocess.Popen(
            [*command, "--out", str(folder)],
            stdout=subprocess.DEVNULL,
            stderr=errors.open("w"),
            start_new_session=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        try:
            status = process.wait(_until_it_works(folder) + draw.uniform(0.0, 8.0))
        except subprocess.TimeoutExpired:
            process.kill()
            if draw.random() < 0.5:  # its workers too, which else notice by themselves
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            kills += 1
            continue
        assert status == 0, errors.read_text()
        assert _numbers(folder, lasting) == expected
        sweeps += 1
    last = sweep(quick(GRID, out=tmp_path / f"sweep{sweeps}"), lambda line: None).folder
    assert _numbers(last, lasting) == expected
    assert not list(last.rglob("*.tmp.*"))


def _until_it_works(folder: Path) -> float:
    """Seconds that a start takes at most; none to wait where the folder shows that cells are being trained."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (folder / CELLS).is_dir():
        time.sleep(0.05)
    return 0.0


def _numbers(folder: Path, lasting: Lasting) -> tuple[str, str]:
    return lasting(folder).to_csv(), (folder / "table.md").read_text()


@pytest.mark.soak
def test_no_altered_grid_is_a_traceback(
    tmp_path: Path, soak_count: Callable[[int, int], int], mutants: Callable[..., Iterator[bytes]]
) -> None:
    path, read = tmp_path / "mutant.yaml", 0
    for mutant in mutants(GRID.encode(), soak_count(200, 1000)):
        path.write_bytes(mutant)
        with suppress(CamoeError):
            read += bool(read_grid(str(path), ("store.h5",)).cells)
    assert read > 0


@pytest.mark.parametrize(
    "grid",
    [
        "grid: {loss: [{a: 1}]}",
        "grid: {loss: [[ce]]}",
        "grid: {1: [ce]}",
        "grid: {[a, b]: [ce]}",
        "grid: {learning_rate: [.nan]}",
        "grid: {epochs: [1.0e+400]}",
        "grid: {epochs: [" + "9" * 5000 + "]}",
        "seeds: [99999999999999999999999]\ngrid: {loss: [ce]}",
        "grid: {loss: [2001-01-01]}",
        "include: [{label: {a: 1}, loss: ce, gate: !!binary aGVsbG8=}]",
        "base: [a]\ngrid: {loss: [ce]}",
        "title: " + "[" * 5000,
        "grid: {stream_weights: [[1, 2, 3, .inf]]}",
        "grid: {"
        + ", ".join(f"{name}: {list(range(2, 102))}" for name in ("epochs", "patience", "loss_temperature"))
        + "}",
        "a: &a [x, x]\nb: &b [*a, *a]\ngrid: {loss: [*b, *b]}",
    ],
)
def test_a_hostile_grid_is_one_sentence(grid: str, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(grid)
    started = time.monotonic()
    with pytest.raises(CamoeError, match=r"x\.yaml"):
        read_grid(str(tmp_path / "x.yaml"), ("store.h5",))
    assert time.monotonic() - started < 20


def test_notes_of_a_hostile_folder(quick: Quick) -> None:
    config = quick("grid: {loss: [ce]}")
    folder = config.folder("grid")
    folder.mkdir()
    for note in (
        "",
        "[]",
        "[" * 100_000,
        json.dumps({"store": 1, "protocol": 2, "trainings": 3}),
        '{"store": "\\ud800"}',
    ):
        (folder / "sweep.json").write_text(note)
        with pytest.raises(CamoeError, match="is not a sweep's folder and is left alone"):
            sweep(config, lambda line: None)
