"""On a GPU only: what the CPU cannot show."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from camoe.pipeline.store import FeatureStore
from camoe.train.config import TrainConfig
from camoe.train.data import load_features
from camoe.train.loop import fit
from camoe.train.model import build_model
from camoe.train.run_folder import load_run
from camoe.train.trainer import Trainer

pytestmark = pytest.mark.needs_gpu
Quick = Callable[..., TrainConfig]


@pytest.fixture
def no_host_sync() -> Iterator[Callable[[str | int], None]]:
    yield torch.cuda.set_sync_debug_mode
    torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize(
    "changes", [{"aggregator": "attention"}, {"model": "xpool"}, {"model": "seqtransf"}, {"precision": "bf16"}]
)
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_step_never_waits_for_the_device(
    quick: Quick, no_host_sync: Callable[[str | int], None], changes: dict, accumulate: int
) -> None:
    config = replace(quick(**changes, duplicate_text="positive", loss="dsl"), accumulate=accumulate)
    device = torch.device("cuda")
    features = load_features(
        FeatureStore.open(config.features), config.strategies, raw=config.facts.raw, protocol=None, device=device
    )
    trainer = Trainer(build_model(config.recipe, features.shape).to(device), features, config.recipe)
    batches = trainer.sampler.epoch().to(device)
    trainer._step(batches[0])
    no_host_sync("error")
    for captions in batches:
        trainer._step(captions)


def test_the_gpu_trains_what_the_cpu_trains(quick: Quick, tmp_path: Path) -> None:
    options = {"dropout": 0.0, "epochs": 2, "aggregator": "attention"}
    models = [load_run(fit(quick(**options, device=name, out=tmp_path / name))).model for name in ("cpu", "cuda")]
    for one, other in zip(*(model.parameters() for model in models), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-2, atol=1e-3)


def test_a_resumed_run_reports_gpu_memory(quick: Quick) -> None:
    assert load_run(fit(quick(device="cuda", precision="bf16"))).record["peak_memory_mb"]["gpu"] > 0


@pytest.mark.parametrize("place", ["host", "disk"])
def test_features_that_the_gpu_does_not_hold(quick: Quick, tmp_path: Path, place: str) -> None:
    options = {"epochs": 2, "aggregator": "attention", "captions_per_video": 2, "device": "cuda"}
    models = [load_run(fit(quick(**options, resident=name, out=tmp_path / name))).model for name in ("device", place)]
    for one, other in zip(*(model.parameters() for model in models), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
