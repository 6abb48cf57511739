"""A sweep on a Ray cluster has the results of one on this machine, cell by cell, whoever is killed meanwhile."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas
import pytest
from camoe.evaluate.sweep.config import SweepConfig
from camoe.evaluate.sweep.run import sweep

pytest.importorskip("ray", reason="Ray is not installed")
pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(not os.environ.get("CAMOE_SOAK"), reason="a cluster takes long to start; runs in make soak"),
]
Quick = Callable[..., SweepConfig]
Lasting = Callable[[Path], pandas.DataFrame]
GRID = "base: {epochs: 2, batch_size: 8, aggregator: mean}\ngrid: {loss: [ce, dsl]}\nseeds: [0, 1, 2]"
SEARCH = """
search: {learning_rate: {low: 1.0e-4, high: 1.0e-2, log: true}}
trials: 4
sampler: random
pruner: none
"""


def workers() -> list[int]:
    """The actors that this process's cluster has begun."""
    parents, found = {}, []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            name = (folder / "cmdline").read_bytes().replace(b"\0", b" ")
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if name.startswith(b"ray::_Holder"):
            found.append(int(folder.name))

    def is_ours(process: int) -> bool:
        while process > 1 and process != os.getpid():
            process = parents.get(process, 0)
        return process == os.getpid()

    return [process for process in found if is_ours(process)]


def test_a_worker_is_killed(quick: Quick, lasting: Lasting, tmp_path: Path) -> None:
    killed: list[int] = []

    def say(line: str) -> None:
        if line.startswith("1/6"):
            killed.extend(workers()[:1])
            os.kill(killed[0], signal.SIGKILL)

    there = sweep(quick(GRID, out=tmp_path / "ray", engine="ray", ray_address="local"), say)
    assert killed, "a worker was killed in the middle"
    assert there.status == 0
    here = sweep(quick(GRID, out=tmp_path / "local"), lambda line: None)
    pandas.testing.assert_frame_equal(lasting(there.folder), lasting(here.folder))


@pytest.mark.parametrize("kind", ["grid", "search"])
def test_a_node_is_lost(quick: Quick, lasting: Lasting, alone: list[str], tmp_path: Path, kind: str) -> None:
    """It costs its group, which another node does again; Ray's logs stay off the terminal."""
    text = GRID.replace("epochs: 2", "epochs: 20")
    if kind == "search":
        pytest.importorskip("optuna", reason="Optuna is not installed")
        text += SEARCH
    file, out = quick(text).grid, tmp_path / "ray"
    config = replace(quick(text), **({"grid": None} | {kind: file}))
    script = Path(__file__).with_name("ray_cluster.py")
    options = ["--features", config.features[0], f"--{kind}", str(file), "--device", "cpu"]
    command = [*alone, sys.executable, str(script), str(out), *options]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout.splitlines()[-1])
    assert told["status"] == 0, told["err"]
    assert "ray: 2 workers on 2 nodes" in told["out"]
    assert "is lost" in told["out"]
    assert "raylet" not in told["out"]
    here = sweep(replace(config, out=tmp_path / "local"), lambda line: None)
    pandas.testing.assert_frame_equal(lasting(out), lasting(here.folder))
