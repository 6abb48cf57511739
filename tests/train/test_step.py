from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from camoe.pipeline.store import FeatureStore
from camoe.train.config import TrainConfig
from camoe.train.data import Features, StreamTexts, draw_dropout, load_features
from camoe.train.losses import dual_softmax_loss
from camoe.train.model import Scorer, build_model
from camoe.train.step import backward, batch_loss
from camoe.train.trainer import Trainer

Quick = Callable[..., TrainConfig]
MODELS = [
    {"aggregator": "mean,se,attention", "gate": "full"},
    {"model": "temporal"},
    {"model": "seqtransf"},
    {"model": "meanp", "text_head": "none"},
    {"model": "frame-attention"},
    {"model": "xpool"},
]


@pytest.fixture
def features(quick: Quick, store_path: Path) -> Features:
    """In double precision, a third of the sentences shared."""
    loaded = load_features(FeatureStore.open(store_path), quick().strategies, protocol=None, device=torch.device("cpu"))
    texts = [StreamTexts(stream.embedding.double(), stream.row // 3 * 3) for stream in loaded.texts]
    return replace(loaded, frames=loaded.frames.double(), texts=texts)


def disturbed(config: TrainConfig, features: Features) -> Scorer:
    model = build_model(config.recipe, features.shape).double()
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return model


def captions_of(features: Features, videos: int, each: int) -> torch.Tensor:
    """`(K, B)`: the first captions of the first training videos, which have two each."""
    return features.captions_of("train").view(-1, 2)[:videos, :each].T


def gradients(model: Scorer, features: Features, captions: torch.Tensor, config: TrainConfig) -> list[torch.Tensor]:
    model.zero_grad()
    dropout = draw_dropout(model, 0.2, captions, 16, torch.Generator().manual_seed(3))
    losses = backward(model, features, captions, config.recipe.step, dropout)
    return [losses, *(p.grad.clone() for p in model.parameters() if p.grad is not None)]


@pytest.mark.parametrize("changes", MODELS, ids=lambda changes: changes.get("model", "camoe"))
@pytest.mark.parametrize(("parts", "each"), [(2, 1), (3, 2), (100, 1)])
def test_accumulated_gradients_are_the_whole_batchs(
    quick: Quick, features: Features, changes: dict, parts: int, each: int
) -> None:
    config = quick(**changes, loss="dsl", loss_temperature=5.0, duplicate_text="positive")
    model, captions = disturbed(config, features), captions_of(features, 17, each)
    whole = gradients(model, features, captions, config)
    parted = gradients(model, features, captions, replace(config, accumulate=parts))
    assert len(whole) == len(parted) == 1 + sum(1 for _ in model.parameters())
    assert all(part.abs().sum() > 0 for part in whole)
    for one, other in zip(whole, parted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_accumulated_training_is_the_same_training(quick: Quick, features: Features) -> None:
    config = quick(aggregator="attention")
    ends = []
    for accumulate in (1, 4):
        model = disturbed(config, features)
        trainer = Trainer(model, features, replace(config, accumulate=accumulate).recipe)
        trainer.epoch()
        ends.append(torch.cat([parameter.detach().flatten() for parameter in model.parameters()]))
    torch.testing.assert_close(ends[0], ends[1], rtol=1e-7, atol=1e-9)


def test_accumulation_holds_only_a_part_at_a_time(quick: Quick, features: Features) -> None:
    seen: list[int] = []
    config = quick(aggregator="mean", accumulate=4)
    model = disturbed(config, features)
    encode = model.encode_videos
    model.encode_videos = lambda frames, mask, dropout=None: seen.append(len(frames)) or encode(frames, mask, dropout)  # type: ignore[method-assign, func-returns-value]
    backward(model, features, captions_of(features, 16, 1), config.recipe.step)
    assert seen == [4] * 8


@pytest.mark.parametrize("duplicate_text", ["negative", "mask", "positive"])
def test_captions_of_a_video_are_averaged_over_one_pass(quick: Quick, features: Features, duplicate_text: str) -> None:
    config = quick(loss="dsl", duplicate_text=duplicate_text)
    model, captions = disturbed(config, features), captions_of(features, 9, 2)
    together = batch_loss(model, features, captions, config.recipe.step)
    apart = [batch_loss(model, features, one, config.recipe.step) for one in captions]
    assert together.item() == pytest.approx(sum(loss.item() for loss in apart) / 2, rel=1e-12)
    assert apart[0].item() != pytest.approx(apart[1].item(), rel=1e-6)


def test_duplicates_reach_the_loss_stream_by_stream(quick: Quick, features: Features) -> None:
    captions = captions_of(features, 9, 1)
    model = disturbed(quick(), features)
    sim = model.similarity(features.texts_of(captions[0]), features.frames[:9], features.mask[:9])
    for mode in ("mask", "positive"):
        expected = 0.0
        for stream in range(3):
            rows = features.texts[stream].row[captions[0]]
            same = rows[:, None] == rows[None]
            assert same.sum() > 9
            expected += dual_softmax_loss(sim[stream], 3.0, same_text=same, duplicate_text=mode).item() / 3
        config = quick(loss="dsl", loss_temperature=3.0, duplicate_text=mode)
        assert batch_loss(model, features, captions, config.recipe.step).item() == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("changes", MODELS, ids=lambda changes: changes.get("model", "camoe"))
def test_bf16_is_close_and_its_loss_is_fp32(quick: Quick, store_path: Path, changes: dict) -> None:
    config = quick(**changes)
    loaded = load_features(
        FeatureStore.open(store_path),
        config.strategies,
        raw=config.facts.raw,
        protocol=None,
        device=torch.device("cpu"),
    )
    model = disturbed(config, loaded).float()
    with torch.no_grad():
        model.logit_scale.fill_(4.6)
    captions = captions_of(loaded, 64, 1)
    exact = gradients(model, loaded, captions, config)
    rough = gradients(model, loaded, captions, replace(config, precision="bf16"))
    assert rough[0].dtype == torch.float32
    assert not torch.equal(exact[0], rough[0]) or config.model == "meanp"
    torch.testing.assert_close(exact[0], rough[0], rtol=0.05, atol=0.05)
    for one, other in zip(exact[1:], rough[1:], strict=True):
        assert other.dtype == torch.float32
        assert other.isfinite().all()
        if one.norm() > 1e-6:  # a bias of X-Pool's keys has no gradient but rounding
            assert torch.cosine_similarity(one.flatten(), other.flatten(), dim=0) > 0.98


def test_every_loss_setting_is_read(quick: Quick, features: Features) -> None:
    captions = captions_of(features, 9, 1)
    plain = quick(loss="dsl", loss_temperature=5.0)
    model = disturbed(plain, features)
    reference = gradients(model, features, captions, plain)
    for changes in (
        {"loss": "ce"},
        {"loss_temperature": 9.0},
        {"stop_gradient_prior": True},
        {"duplicate_text": "mask"},
    ):
        found = gradients(model, features, captions, replace(plain, **changes))
        assert not all(torch.allclose(one, other) for one, other in zip(reference, found, strict=True)), changes
