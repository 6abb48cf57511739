from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from camoe.train.config import TrainConfig
from camoe.train.data import Features
from camoe.train.ensemble import Ensemble, Layout
from camoe.train.model import build_model
from camoe.train.trainer import Trainer

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "mean": {"aggregator": "mean"},
    "se, full gate, linear heads": {"aggregator": "se", "gate": "full", "text_head": "linear"},
    "attention": {"aggregator": "attention", "captions_per_video": 2},
    "mixed experts": {"aggregator": ("attention", "se", "mean"), "attention_layers": 2},
    "one stream, three experts": {"aggregator": "mean", "streams": ("fusion",), "experts": 3},
    "temporal": {"model": "temporal"},
    "seqtransf": {"model": "seqtransf"},
    "meanp without heads": {"model": "meanp", "text_head": "none"},
}
MEMBERS: list[dict[str, Any]] = [
    {"seed": 0},
    {"seed": 0, "loss": "dsl", "loss_temperature": 5.0, "dropout": 0.0},
    {"seed": 1, "learning_rate": 1e-2, "weight_decay": 0.5, "dropout": 0.4, "clip_gradient": 0.05},
    {"seed": 2, "loss": "dsl", "stop_gradient_prior": True, "duplicate_text": "mask", "warmup": 0.5, "epochs": 9},
    {"seed": 2, "duplicate_text": "positive", "strategy": "full", "epochs": 3},
]


def config_of(**settings: Any) -> TrainConfig:
    return TrainConfig(features=("none",), batch_size=6, **({"epochs": 6} | settings))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_member_follows_its_single_run_over_20_steps(
    name: str, features_for: Callable[[TrainConfig], Features]
) -> None:
    configs = [config_of(**ARCHITECTURES[name], **member) for member in MEMBERS]
    features = [features_for(config) for config in configs]
    recipes = [config.recipe for config in configs]
    ensemble = Ensemble(
        [build_model(c, f.shape).double() for c, f in zip(recipes, features, strict=True)], features, recipes
    )
    singles = [Trainer(build_model(c, f.shape).double(), f, c) for c, f in zip(recipes, features, strict=True)]
    steps = 0
    while steps < 20:
        together = ensemble.draws.epoch()
        alone = [single.sampler.epoch() for single in singles]
        for step, captions in enumerate(together):
            told = ensemble.step(captions)
            for member, single in enumerate(singles):
                expected = single._step(alone[member][step])
                torch.testing.assert_close(told[member], expected, rtol=1e-9, atol=1e-11)
                path = ensemble.layout.pack(single.model)
                torch.testing.assert_close(ensemble.flat[member].detach(), path, rtol=1e-9, atol=1e-12)
            steps += 1
    moved = (
        ensemble.flat[0] - Layout(singles[0].model).pack(build_model(recipes[0], features[0].shape).double())
    ).abs()
    assert moved.max() > 1e-3


def test_members_go_on_unmoved_when_others_leave(features_for: Callable[[TrainConfig], Features]) -> None:
    configs = [config_of(aggregator="se", **member) for member in MEMBERS[:4]]
    features = [features_for(config) for config in configs]
    recipes = [config.recipe for config in configs]

    def make(rows: list[int]) -> Ensemble:
        models = [build_model(recipes[row], features[row].shape).double() for row in rows]
        return Ensemble(models, [features[row] for row in rows], [recipes[row] for row in rows])

    whole, few = make([0, 1, 2, 3]), make([1, 3])
    whole.epoch(), few.epoch()
    whole.keep([1, 3])
    told, expected = whole.epoch(), few.epoch()
    torch.testing.assert_close(told, expected, rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(whole.flat, few.flat, rtol=1e-9, atol=1e-12)


def test_a_member_that_is_no_number_leaves_the_others_alone(features_for: Callable[[TrainConfig], Features]) -> None:
    configs = [config_of(aggregator="mean", seed=seed) for seed in (0, 1)]
    features = [features_for(config) for config in configs]
    recipes = [config.recipe for config in configs]
    models = [build_model(c, f.shape).double() for c, f in zip(recipes, features, strict=True)]
    with torch.no_grad():
        models[0].logit_scale.fill_(torch.nan)
    ensemble = Ensemble(models, features, recipes)
    rows = ensemble.epoch()
    assert rows[:, 0].isnan().any()
    assert rows[:, 1].isfinite().all()
    assert ensemble.flat[1].isfinite().all()
