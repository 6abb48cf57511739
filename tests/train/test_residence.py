"""Wherever features are kept, a run is the same, bit for bit."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from camoe.train import trainer
from camoe.train.config import TrainConfig
from camoe.train.loop import fit

Quick = Callable[..., TrainConfig]

RUNS: dict[str, dict[str, object]] = {
    "mean": {},
    "attention": {"aggregator": "attention", "loss": "dsl", "duplicate_text": "mask", "accumulate": 3},
    "captions per video": {"captions_per_video": 3, "duplicate_text": "positive", "shuffle_frames": True},
    "as CLIP gave them": {"model": "xpool", "streams": ("fusion",)},
}


def numbers(folder: Path) -> tuple[bytes, list[dict]]:
    """A run's parameters, and its metrics without the clock."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    told = [{name: value for name, value in json.loads(line).items() if name != "seconds"} for line in lines]
    return (folder / "model.safetensors").read_bytes(), told


@pytest.mark.parametrize("options", RUNS.values(), ids=list(RUNS))
def test_the_same_bits_wherever_features_are(quick: Quick, tmp_path: Path, options: dict) -> None:
    found = {
        place: numbers(fit(quick(**options, resident=place, out=tmp_path / place)))
        for place in ("device", "host", "disk")
    }
    assert found["host"] == found["device"]
    assert found["disk"] == found["device"]


def test_a_head_that_reads_words(worded_store_path: Path, quick: Quick, tmp_path: Path) -> None:
    options = {"features": (str(worded_store_path),), "model": "wti", "streams": ("fusion",), "batch_size": 8}
    found = {
        place: numbers(fit(quick(**options, resident=place, out=tmp_path / place)))
        for place in ("device", "host", "disk")
    }
    assert found["host"] == found["device"]
    assert found["disk"] == found["device"]


class StopError(Exception):
    """Stands for whatever ends a process between two epochs."""


def test_a_run_goes_on_elsewhere(quick: Quick, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = quick(epochs=4, checkpoint_seconds=0, resident="device")
    whole = fit(replace(config, out=tmp_path / "whole"))
    epoch = trainer.Trainer.epoch

    def two_epochs(self: trainer.Trainer, *arguments: object) -> torch.Tensor:
        if self.step >= 2 * self.sampler.steps:
            raise StopError
        return epoch(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(trainer.Trainer, "epoch", two_epochs)
    with pytest.raises(StopError):
        fit(config)
    monkeypatch.undo()
    assert numbers(fit(replace(config, resident="disk"), resume=True)) == numbers(whole)
