"""The whole path, from rendered mp4 files to the table, by the demo at its smallest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from camoe.pipeline.cores import usable_cores
from camoe.pipeline.demo.cli import main
from camoe.pipeline.demo.demo import EXPERIMENTS, _workers
from camoe.pipeline.demo.table import chance_row, format_table, measured_row
from camoe.pipeline.errors import CamoeError
from camoe.pipeline.store import FeatureStore


def test_the_demo_at_its_smallest(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "demo"
    assert main(["--out", str(out), "--size", "small", "--seeds", "2", "--epochs", "2"], standalone_mode=False) == 0
    said = capsys.readouterr().out
    assert "$ camoe-extract --videos" in said
    assert said.count("$ camoe-train ") == 2 + 3 * 2
    assert said.count("$ camoe-evaluate ") == 2 + 3 * 2

    store = FeatureStore.open(out / "shards.h5")
    assert len(store.video_ids) == len(list((out / "videos").glob("*.mp4"))) == 64
    rows = json.loads((out / "table.json").read_text())
    assert [row["title"] for row in rows] == ["chance", *(row.title for row in EXPERIMENTS)]
    chance, zero_shot = rows[0]["mean"]["t2v"]["R@1"], rows[1]["mean"]["t2v"]["R@1"]
    assert chance == pytest.approx(100 / 16)
    assert zero_shot > 5 * chance
    assert all(row["runs"] == 2 for row in rows[3:])
    assert (out / "table.png").read_bytes().startswith(b"\x89PNG")
    assert (out / "runs" / "camoe-1" / "model.safetensors").exists()
    assert "CAMoE + DSL, re-ranked by DSL *" in said

    # A second size does not fit into the same folder.
    with pytest.raises(CamoeError, match="holds a demo of another size"):
        main(["--out", str(out)], standalone_mode=False)


@pytest.mark.parametrize(("size", "reached"), [("default", "videos/clip0000.mp4"), ("few", "shards.h5")])
def test_no_process_outlives_a_demo_that_is_killed(tmp_path: Path, size: str, reached: str) -> None:
    mark = f"CAMOE_TEST_OF={tmp_path}"
    name, _, value = mark.partition("=")
    words = [sys.executable, "-c", "from camoe.pipeline.demo.cli import main; main()", "--size", size]
    with open(tmp_path / "told", "wb") as told:
        demo = subprocess.Popen([*words, "--out", str(tmp_path / "demo")], env=os.environ | {name: value}, stdout=told)
    while not (tmp_path / "demo" / reached).exists():  # those workers live from then on
        assert demo.poll() is None
        time.sleep(0.05)
    demo.kill()
    demo.wait()
    ends = time.monotonic() + 20
    while left := marked(mark):
        assert time.monotonic() < ends, left
        time.sleep(0.1)


def test_a_demo_that_is_stopped_begins_nothing_more(ffmpeg: str) -> None:
    with suppress(KeyboardInterrupt), _workers(ffmpeg) as pool:
        runs = [pool.submit(time.sleep, 0.5) for _ in range(20 * usable_cores())]
        raise KeyboardInterrupt
    assert runs[-1].cancelled()


def marked(mark: str) -> list[int]:
    """The processes with this in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark.encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return found


def test_chance_is_what_guessing_gives() -> None:
    row = chance_row(240)
    assert row.mean["t2v"]["R@1"] == pytest.approx(100 / 240)
    assert row.mean["v2t"]["MdR"] == 120.5


def test_mean_and_deviation() -> None:
    def evaluation(value: float) -> dict:
        metrics = dict.fromkeys(("R@1", "R@5", "R@10", "MdR", "MnR"), value)
        training = {"model": "camoe", "selection": {"epoch": 0 if value == 1.0 else 7}}
        return {"rerankings": {"dsl": {"t2v": metrics, "v2t": metrics}}, "training": training}

    row = measured_row("x", [evaluation(1.0), evaluation(3.0)], "dsl")
    assert row.mean["t2v"]["R@1"] == 2.0
    assert row.std["v2t"]["MdR"] == pytest.approx(2**0.5)
    assert "2.0 ± 1.4" in format_table([row], 240)
    assert "kept: the untrained model in 1 of 2 runs" in format_table([row], 240)
    assert "mean nothing" not in format_table([row], 240)
    assert "TOO FEW: 16 test clips; below 50 these numbers mean nothing" in format_table([row], 16)


def test_no_seeds(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--seeds", "0"])
    assert stopped.value.code == 2
    assert "seeds must be at least 1" in capsys.readouterr().err
