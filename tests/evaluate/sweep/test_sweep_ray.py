"""A sweep on a Ray cluster has the results of one on this machine, cell by cell, also where a worker is killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pandas
import pytest
from camoe.evaluate.sweep.config import SweepConfig
from camoe.evaluate.sweep.run import sweep

pytest.importorskip("ray", reason="Ray is not installed")
GRID = "base: {epochs: 2, batch_size: 8, aggregator: mean}\ngrid: {loss: [ce, dsl]}\nseeds: [0, 1, 2]"


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


@pytest.mark.soak
@pytest.mark.skipif(not os.environ.get("CAMOE_SOAK"), reason="a cluster takes long to start; runs in make soak")
def test_a_worker_is_killed(quick: Callable[..., SweepConfig], tmp_path: Path) -> None:
    killed: list[int] = []

    def say(line: str) -> None:
        if line.startswith("1/6"):
            killed.extend(workers()[:1])
            os.kill(killed[0], signal.SIGKILL)

    there = sweep(quick(GRID, out=tmp_path / "ray", engine="ray", ray_address="local"), say)
    assert killed, "a worker was killed in the middle"
    assert there.status == 0
    here = sweep(quick(GRID, out=tmp_path / "local"), lambda line: None)
    there_table, here_table = (pandas.read_csv(outcome.folder / "results.csv") for outcome in (there, here))
    pandas.testing.assert_frame_equal(there_table.drop(columns="seconds"), here_table.drop(columns="seconds"))
