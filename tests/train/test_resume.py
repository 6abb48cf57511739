from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from camoe.pipeline.config import dump_config
from camoe.pipeline.errors import CamoeError
from camoe.pipeline.store import FeatureStore
from camoe.train import trainer
from camoe.train.checkpoint import CHECKPOINT, Checkpoint, load_checkpoint, save_checkpoint
from camoe.train.config import TrainConfig
from camoe.train.loop import fit
from camoe.train.run_folder import load_run, new_run_folder

Quick = Callable[..., TrainConfig]


def bits(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def curve(folder: Path) -> list[dict]:
    """The metrics without the clock."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [{name: value for name, value in json.loads(line).items() if name != "seconds"} for line in lines]


class StopError(Exception):
    """Stands for whatever ends a process between two epochs."""


@pytest.fixture
def stop_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[int | None], None]:
    """Make the next runs end after that many epochs of theirs; None: no more."""
    epoch = trainer.Trainer.epoch

    def arrange(limit: int | None) -> None:
        done = 0

        def counted(self: trainer.Trainer, *arguments: object) -> torch.Tensor:
            nonlocal done
            if done == limit:
                raise StopError
            done += 1
            return epoch(self, *arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(trainer.Trainer, "epoch", counted)

    return arrange


def test_a_killed_run_goes_on_to_the_same_bits(quick: Quick, tmp_path: Path) -> None:
    config = quick(aggregator="attention", epochs=120, threads=1, device="cpu", checkpoint_seconds=0)
    (tmp_path / "config.yaml").write_text(dump_config(config))
    program = "from camoe.train.cli import main; main()"
    command = [sys.executable, "-c", program, "--config", str(tmp_path / "config.yaml")]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    partial = tmp_path / "run.partial"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if (partial / CHECKPOINT).exists() and len((partial / "metrics.jsonl").read_bytes().splitlines()) > 4:
            break
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (partial / CHECKPOINT).exists()
    assert not (tmp_path / "run").exists()
    with pytest.raises(CamoeError, match=r"run.partial is an unfinished run; go on with --resume, or begin anew with"):
        fit(config)
    begun = load_checkpoint(partial)
    assert begun is not None
    assert 0 < begun.facts["epochs"] < 120
    resumed = fit(config, resume=True)
    whole = fit(replace(config, out=tmp_path / "whole"))
    assert bits(resumed) == bits(whole)
    assert curve(resumed) == curve(whole)
    assert not partial.exists()
    assert sorted(path.name for path in resumed.iterdir()) == sorted(path.name for path in whole.iterdir())


@pytest.mark.parametrize("stops", [(1,), (2, 3)])
def test_stopping_anywhere_changes_nothing(
    quick: Quick, tmp_path: Path, stop_after: Callable[[int | None], None], stops: tuple[int, ...]
) -> None:
    options = {"epochs": 7, "loss": "dsl", "captions_per_video": 2, "checkpoint_seconds": 0, "patience": 6}
    whole = fit(quick(**options, out=tmp_path / "whole"))
    config = quick(**options, device="cpu")
    for epochs in stops:
        stop_after(epochs)
        with pytest.raises(StopError):
            fit(config, resume=True)
    stop_after(None)
    fit(config, resume=True)
    assert bits(config.folder) == bits(whole)
    assert curve(config.folder) == curve(whole)
    record, other = load_run(config.folder).record, load_run(whole).record
    assert record["selection"] == other["selection"]
    assert record["epochs"] == other["epochs"]


def test_what_was_written_after_the_checkpoint_is_dropped(
    quick: Quick, tmp_path: Path, stop_after: Callable[[int | None], None]
) -> None:
    config = quick(epochs=4, checkpoint_seconds=0)
    stop_after(2)
    with pytest.raises(StopError):
        fit(config)
    with open(tmp_path / "run.partial" / "metrics.jsonl", "a") as stream:
        stream.write('{"epoch": 3, "R@1": 1.0}\n{"epoch": 4, "R')
    (tmp_path / "run.partial" / f"{CHECKPOINT}.tmp.77").write_text("half a checkpoint")
    stop_after(None)
    folder = fit(config, resume=True)
    assert [row["epoch"] for row in curve(folder)] == [0, 1, 2, 3, 4]
    assert all("loss" in row for row in curve(folder)[1:])
    assert not list(folder.glob("*tmp*"))


def test_another_run_is_not_resumed(
    quick: Quick, store_maker: Callable, tmp_path: Path, stop_after: Callable[[int | None], None]
) -> None:
    config = quick(epochs=4, checkpoint_seconds=0, streams="fusion")
    stop_after(2)
    with pytest.raises(StopError):
        fit(config)
    stop_after(None)
    before = (tmp_path / "run.partial" / CHECKPOINT).read_bytes()
    with pytest.raises(CamoeError, match=r"run.partial was begun with learning_rate 0.002, not 0.003; resume it with"):
        fit(replace(config, learning_rate=3e-3), resume=True)
    with pytest.raises(CamoeError, match="begun with streams fusion, not fusion,entity"):
        fit(replace(config, streams=("fusion", "entity")), resume=True)
    other = store_maker("other.h5", seed=9)
    here, there = FeatureStore.open(config.features).content_hash, FeatureStore.open(other).content_hash
    with pytest.raises(CamoeError, match=f"begun with a store with content hash {here[:12]}…, not {there[:12]}…"):
        fit(replace(config, features=(str(other),)), resume=True)
    assert (tmp_path / "run.partial" / CHECKPOINT).read_bytes() == before
    fit(replace(config, learning_rate=3e-3, overwrite=True))
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["run"]


def test_a_finished_run_is_left_alone_if_it_is_the_one_asked_for(quick: Quick) -> None:
    folder = fit(quick())
    before = (folder / "metrics.jsonl").stat().st_mtime_ns
    assert fit(quick(), resume=True) == folder
    assert (folder / "metrics.jsonl").stat().st_mtime_ns == before
    with pytest.raises(CamoeError, match="run was begun with seed 0, not 5"):
        fit(quick(seed=5), resume=True)


def test_resume_begins_what_never_began(quick: Quick, tmp_path: Path) -> None:
    whole = fit(quick())
    assert bits(fit(quick(out=tmp_path / "new"), resume=True)) == bits(whole)


def test_resume_and_overwrite_contradict(quick: Quick) -> None:
    with pytest.raises(CamoeError, match="give one of them"):
        fit(quick(overwrite=True), resume=True)


def test_a_damaged_checkpoint_is_told(quick: Quick, tmp_path: Path, stop_after: Callable[[int | None], None]) -> None:
    config = quick(epochs=4, checkpoint_seconds=0)
    stop_after(1)
    with pytest.raises(StopError):
        fit(config)
    path = tmp_path / "run.partial" / CHECKPOINT
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CamoeError, match=r"checkpoint.safetensors is damaged .*--overwrite instead of --resume"):
        fit(config, resume=True)


def test_checkpoints_read_back(tmp_path: Path) -> None:
    saved = Checkpoint({"seed": 1}, {"level": 0.1 + 0.2}, {"model.a": torch.tensor(3.0), "best.a": torch.ones(2)})
    assert load_checkpoint(tmp_path) is None
    save_checkpoint(tmp_path, saved)
    loaded = load_checkpoint(tmp_path)
    assert loaded is not None
    assert (loaded.identity, loaded.facts) == (saved.identity, saved.facts)
    assert loaded.group("model") == {"a": torch.tensor(3.0)}
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT]


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    with new_run_folder(tmp_path / "run", overwrite=False) as folder:
        (folder / "metrics.jsonl").write_text("mine")
        with (
            pytest.raises(CamoeError, match=r"another process is writing .*run.partial"),
            new_run_folder(tmp_path / "run", overwrite=False),
        ):
            pass
        assert (folder / "metrics.jsonl").read_text() == "mine"
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["metrics.jsonl"]


def test_somebody_elses_folder_is_left_alone(quick: Quick, tmp_path: Path) -> None:
    (tmp_path / "run.partial").mkdir()
    (tmp_path / "run.partial" / "notes.txt").write_text("x")
    with pytest.raises(CamoeError, match=r"run.partial is not a run in the making and is left alone"):
        fit(quick())
    assert (tmp_path / "run.partial" / "notes.txt").read_text() == "x"
