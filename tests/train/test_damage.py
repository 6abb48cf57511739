"""Altered runs, full disks, processes that are killed: one sentence, nothing half-written, the same bits."""

from __future__ import annotations

import io
import json
import os
import random
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from camoe.pipeline.errors import CamoeError
from camoe.pipeline.store import FeatureStore
from camoe.train.checkpoint import CHECKPOINT
from camoe.train.cli import main
from camoe.train.config import TrainConfig
from camoe.train.loop import fit
from camoe.train.run_folder import load_run
from camoe.train.scoring import RunScorer

Quick = Callable[..., TrainConfig]
GROWTH_MB = 300
"""What reading damaged files may add to the process's peak."""


@pytest.fixture
def run_folder(quick: Quick) -> Path:
    return fit(quick(aggregator="attention", epochs=1))


@pytest.mark.soak
@pytest.mark.parametrize("name", ["model.safetensors", "run.json", "config.yaml"])
def test_altered_runs_are_refused_or_read(
    run_folder: Path,
    store_path: Path,
    name: str,
    mutants: Callable[..., Iterator[bytes]],
    soak_count: Callable[[int, int], int],
) -> None:
    store, whole = FeatureStore.open(store_path), (run_folder / name).read_bytes()
    expected = RunScorer(load_run(run_folder), store, device="cpu").score().similarity
    before, refused = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0
    count = soak_count(60, 1000)
    for seed, content in enumerate(mutants(whole, count, seed=3)):
        (run_folder / name).write_bytes(content)
        started = time.monotonic()
        try:
            run = load_run(run_folder)
            assert run.features
            scorer = RunScorer(run, store, device="cpu", allow_missing=True)
            scored = scorer.score().similarity
        except CamoeError as error:
            refused += 1
            str(error).encode()
        else:
            assert name != "model.safetensors" or content == whole or (scored == expected).all(), seed
        assert time.monotonic() - started < 20, seed
    assert refused > count / 4
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < GROWTH_MB


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("run.json", {"shape": {"embed_dim": 10**9, "max_frames": 4, "clip_logit_scale": 20.0}}),
        ("run.json", {"shape": {"embed_dim": 16, "max_frames": 4, "clip_logit_scale": -1.0}}),
        ("run.json", {"protocol": "\ud800"}),
        ("run.json", {"held_out_videos": "v1"}),
        ("run.json", {"store": None}),
        ("run.json", {"format": 99}),
        ("config.yaml", {"experts": 1e9}),
        ("config.yaml", {"experts": 10**9}),
        ("config.yaml", {"attention_layers": 10**9}),
        ("config.yaml", {"streams": ["[" * 5000]}),
    ],
)
def test_hostile_values_are_refused_at_once(run_folder: Path, name: str, change: dict) -> None:
    import yaml

    path = run_folder / name
    read, write = (json.loads, json.dumps) if name == "run.json" else (yaml.safe_load, yaml.safe_dump)
    path.write_text(write(read(path.read_text()) | change))  # type: ignore[operator]
    started = time.monotonic()
    with pytest.raises(CamoeError):
        load_run(run_folder)
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("content", ["[" * 15_000, "a: 2020-99-99", "? [1]\n: 2", "1: 2", "- x", "\0", "{" * 20_000])
@pytest.mark.parametrize("name", ["run.json", "config.yaml"])
def test_files_that_are_something_else(run_folder: Path, name: str, content: str) -> None:
    (run_folder / name).write_text(content)
    with pytest.raises(CamoeError, match=str(run_folder)):
        load_run(run_folder)


def test_a_flipped_byte_is_told(run_folder: Path) -> None:
    record = run_folder / "run.json"
    whole = record.read_bytes()
    for old, new, reason in (
        (b"", b"\xff", "line 1 is not text"),
        (b'"protocol":', b'"protocol"=', "line \\d+ is not JSON"),
        (b'"protocol":', b'"qrotocol":', "run has the unknown key 'qrotocol'"),
    ):
        record.write_bytes(whole.replace(old, new, 1))
        with pytest.raises(
            CamoeError, match=rf"run/run\.json is damaged \({reason}\); put it back from a copy, or train"
        ):
            load_run(run_folder)
    record.write_bytes(whole)
    path = run_folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(CamoeError, match=r"run is damaged \(model.safetensors does not match its checksum\); train it"):
        load_run(run_folder)


@pytest.fixture
def unfinished(quick: Quick, monkeypatch: pytest.MonkeyPatch) -> TrainConfig:
    """A run that was stopped after its second epoch."""
    from camoe.train import trainer

    config = quick(epochs=4, checkpoint_seconds=0, device="cpu")
    epoch = trainer.Trainer.epoch

    def stopped(self: trainer.Trainer, *rest: object) -> torch.Tensor:
        if self.step == 2 * self.sampler.steps:
            raise KeyboardInterrupt
        return epoch(self, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(trainer.Trainer, "epoch", stopped)
    with pytest.raises(KeyboardInterrupt):
        fit(config)
    monkeypatch.undo()
    torch.set_num_threads(1)
    return config


@pytest.mark.soak
def test_altered_checkpoints_are_never_resumed(
    unfinished: TrainConfig, mutants: Callable[..., Iterator[bytes]], soak_count: Callable[[int, int], int]
) -> None:
    path = unfinished.folder.with_name("run.partial") / CHECKPOINT
    whole = path.read_bytes()
    for content in mutants(whole, soak_count(30, 1000), seed=4):
        if content != whole:
            path.write_bytes(content)
            with pytest.raises(CamoeError, match=r"checkpoint.safetensors .*--overwrite instead of --resume"):
                fit(unfinished, resume=True)
    path.write_bytes(whole)
    assert fit(unfinished, resume=True).is_dir()


def test_a_damaged_history_is_told(unfinished: TrainConfig) -> None:
    (unfinished.folder.with_name("run.partial") / "metrics.jsonl").write_text("{}\n")
    with pytest.raises(CamoeError, match=r"metrics.jsonl is damaged .*--overwrite instead of --resume"):
        fit(unfinished, resume=True)


def in_child(arguments: list[str], limit: int) -> tuple[int, str]:
    """The exit status and stderr of `camoe-train` in a process that may write files of `limit` bytes."""
    ours, theirs = os.pipe()
    child = os.fork()
    if not child:
        status = 99
        try:
            sys.stderr, sys.stdout = os.fdopen(theirs, "w"), io.StringIO()
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            main(arguments)
        except SystemExit as end:
            status = int(end.code or 0)
        finally:
            sys.stderr.flush()
            os._exit(status)
    os.close(theirs)
    with os.fdopen(ours) as stream:
        told = stream.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), told


@pytest.mark.skipif(sys.platform != "linux", reason="limits of file sizes as Linux sets them")
@pytest.mark.parametrize(
    ("limit", "checkpoints"),
    [(0, True), (0, False), (300, True), (300, False), (6000, False), (12_000, True), (20_000, True)],
)
def test_a_full_disk_is_one_sentence(store_path: Path, tmp_path: Path, limit: int, checkpoints: bool) -> None:
    arguments = ["--features", str(store_path), "--out", str(tmp_path / "run"), "--epochs", "4", "--aggregator", "mean"]
    arguments += ["--device", "cpu", "--checkpoint-seconds", "0" if checkpoints else "1000"]

    status, told = in_child(arguments, limit)

    (line,) = (line for line in told.splitlines() if line.startswith("camoe-train: "))
    assert status == 1
    assert "make room and" in line
    assert "Traceback" not in told
    assert (tmp_path / "run.partial").exists() == line.endswith("go on with --resume")
    assert not (tmp_path / "run").exists()
    assert not list(tmp_path.rglob("*.tmp.*"))
    assert main([*arguments, "--resume"], standalone_mode=False) == 0
    assert load_run(tmp_path / "run").record["epochs"] == 4


@pytest.mark.soak
def test_kills_at_any_moment_change_nothing(
    quick: Quick, tmp_path: Path, soak_count: Callable[[int, int], int]
) -> None:
    """A forked child trains and is killed after a random while, until a run comes through; its bits are the same."""
    config = quick(epochs=40, threads=1, device="cpu", checkpoint_seconds=0, out=tmp_path / "killed" / "run")
    expected = (
        fit(quick(epochs=40, threads=1, device="cpu", out=tmp_path / "whole")) / "model.safetensors"
    ).read_bytes()
    draw, kills, wanted = random.Random(5), 0, soak_count(8, 100)
    while kills < wanted:
        child = os.fork()
        if not child:
            try:
                fit(config, resume=True)
            finally:
                os._exit(0)
        time.sleep(draw.uniform(0.0, 0.25))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        kills += 1
        if (config.folder / "run.json").exists() and not config.folder.with_name("run.partial").exists():
            assert (config.folder / "model.safetensors").read_bytes() == expected
            fit(config, resume=True)
            assert {path.name for path in config.folder.parent.iterdir()} == {"run"}
            assert len(list(config.folder.iterdir())) == 5
            shutil.rmtree(config.folder)
    fit(config, resume=True)
    assert (config.folder / "model.safetensors").read_bytes() == expected
    assert [path.name for path in config.folder.parent.iterdir()] == ["run"]
    assert len(list(config.folder.iterdir())) == 5


@pytest.mark.parametrize("between", ["before", "after"])
def test_a_kill_while_a_run_is_replaced_loses_neither(quick: Quick, tmp_path: Path, between: str) -> None:
    """Between the two renames the old run lies aside: it comes back, or goes, with the next command."""
    old = fit(quick())
    bits = (old / "model.safetensors").read_bytes()
    aside = tmp_path / ".run.replaced.123"
    if between == "before":
        old.rename(aside)
        with pytest.raises(CamoeError, match="run is already there; give another --out, or --overwrite"):
            fit(quick(seed=1))
        assert (old / "model.safetensors").read_bytes() == bits
    else:
        shutil.copytree(old, aside)
        fit(quick(seed=1, overwrite=True))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]
