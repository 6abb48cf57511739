from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from camoe.pipeline.store import FeatureStore
from camoe.train import frame_attention
from camoe.train.config import TrainConfig
from camoe.train.loop import fit
from camoe.train.model import FeatureShape, build_model
from camoe.train.run_folder import load_run
from camoe.train.scoring import RunScorer
from camoe.train.validation import recall_at_1
from torch.nn import functional as F

SHAPE = FeatureShape(embed_dim=16, max_frames=5, clip_logit_scale=100.0)
COUNTS = torch.tensor([5, 1, 3, 2])
MASK = torch.arange(5) < COUNTS[:, None]
FRAMES = F.normalize(torch.randn(4, 5, 16, generator=torch.Generator().manual_seed(0)), dim=-1) * MASK.unsqueeze(-1)
TEXTS = F.normalize(torch.randn(3, 6, 16, generator=torch.Generator().manual_seed(1)), dim=-1)


def model() -> frame_attention.FrameAttention:
    built = build_model(TrainConfig(features=("x.h5",), model="frame-attention").recipe, SHAPE)
    assert isinstance(built, frame_attention.FrameAttention)
    return built


def trained() -> frame_attention.FrameAttention:
    built, generator = model(), torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in (built.attend, built.value):
            parameter += torch.randn(parameter.shape, generator=generator)
    return built


def test_untrained_it_is_zero_shot() -> None:
    zero_shot = build_model(TrainConfig(features=("x.h5",), model="zero-shot").recipe, SHAPE)
    torch.testing.assert_close(
        model().score(TEXTS, FRAMES, MASK), zero_shot.score(TEXTS, FRAMES, MASK), rtol=1e-5, atol=1e-4
    )


def test_it_is_its_equation_pair_by_pair() -> None:
    built = trained()
    sim = built.similarity(TEXTS, FRAMES, MASK)
    for stream in range(3):
        for text in range(6):
            for video, count in enumerate(COUNTS.tolist()):
                frames, query = FRAMES[video, :count], TEXTS[stream, text]
                share = torch.stack([query @ built.attend @ frame for frame in frames]).softmax(0)
                pooled = sum(a * (frame + built.value @ frame) for a, frame in zip(share, frames, strict=True))
                expected = 100 * query @ pooled / pooled.norm()
                assert sim[stream, text, video].item() == pytest.approx(expected.item(), rel=1e-3, abs=1e-3)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = trained().similarity(TEXTS, FRAMES, MASK)
    for block in (1, 50):
        monkeypatch.setattr(frame_attention, "BLOCK", block)
        torch.testing.assert_close(trained().similarity(TEXTS, FRAMES, MASK), whole, rtol=1e-5, atol=1e-4)


def test_memory_stays_within_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    pooled = frame_attention._pooled_cosine

    def watched(texts: torch.Tensor, keys: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
        sizes.append(len(texts) * keys.shape[0] * keys.shape[1])
        return pooled(texts, keys, *rest)

    monkeypatch.setattr(frame_attention, "_pooled_cosine", watched)
    monkeypatch.setattr(frame_attention, "BLOCK", 64)
    trained().similarity(TEXTS, FRAMES, MASK)
    assert max(sizes) <= 64
    assert sum(sizes) == 3 * 6 * 4 * 5


def test_a_video_without_a_single_valid_number_is_no_nan() -> None:
    assert trained().similarity(TEXTS, torch.zeros(1, 5, 16), MASK[:1]).isfinite().all()


def test_it_trains_and_is_scored_like_any_other(quick: Callable[..., TrainConfig], tmp_path: Path) -> None:
    recalls = {}
    for name, changes in {"zero-shot": {}, "frame-attention": {"epochs": 20, "learning_rate": 3e-3}}.items():
        run = load_run(fit(quick(model=name, out=tmp_path / name, **changes)))
        scores = RunScorer(run, FeatureStore.open(run.config.features), device="cpu").score()
        recalls[name] = sum(recall_at_1(*map(torch.from_numpy, (scores.similarity, scores.video_of_caption)))) / 2
    assert recalls["frame-attention"] > recalls["zero-shot"] + 15
