"""Heads of published names equal the published code's outputs and gradients, in float64."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from camoe.train.config import TrainConfig
from camoe.train.heads.seqtransf import SeqTransf
from camoe.train.heads.xpool import XPool
from camoe.train.model import FeatureShape, Scorer, build_model
from torch.nn import functional as F

DATA = Path(__file__).parents[2] / "data" / "heads_small.npz"
TEXT_SIDE: dict[str, Any] = {"text_heads": [torch.nn.Identity()], "weights": [1.0], "logit_scale": 1.0}
Case = dict[str, torch.Tensor]


def case(name: str) -> Case:
    with np.load(DATA, allow_pickle=False) as arrays:
        return {
            key.split("/", 1)[1]: torch.from_numpy(arrays[key]) for key in arrays.files if key.split("/")[0] == name
        }


def weights(of: Case) -> dict[str, torch.Tensor]:
    return {name.removeprefix("weights/"): value for name, value in of.items() if name.startswith("weights/")}


def scored(model: Scorer, of: Case, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Similarity `(M, N)`, and the gradients of its sum by texts and frames."""
    texts = of["input/text"].clone().requires_grad_()
    frames = of["input/frames"].clone().requires_grad_()
    similarity = model.similarity(texts[None], frames, mask)[0]
    similarity.sum().backward()
    assert texts.grad is not None
    assert frames.grad is not None
    return similarity.detach(), texts.grad, frames.grad


def equal(found: torch.Tensor, expected: torch.Tensor) -> None:
    assert found.dtype == torch.float64
    assert ((found - expected).abs() / expected.abs().clamp_min(1)).max() < 1e-6


@pytest.mark.parametrize("name", ["xpool", "xpool_heads4"])
def test_xpool_with_the_published_padding(name: str) -> None:
    of = case(name)
    heads = int(of["param/num_mha_heads"])
    model = XPool(embed_dim=32, heads=heads, padding="published", **TEXT_SIDE).double()
    model.load_state_dict(weights(of), strict=False)
    mask = torch.zeros(5, 6, dtype=torch.bool)

    similarity, by_text, by_frames = scored(model, of, mask)

    equal(similarity, of["output/similarity"])
    equal(by_text, of["grad/text"])
    equal(by_frames, of["grad/frames"])
    pooled = model.pool(of["input/text"], model.encode_videos(of["input/frames"], mask).squeeze(0), mask)
    equal(pooled.detach().transpose(0, 1), of["output/pooled_frames"])


def test_xpool_masks_padding_unless_told() -> None:
    of = case("xpool")
    model = XPool(embed_dim=32, **TEXT_SIDE).double()
    model.load_state_dict(weights(of), strict=False)
    mask = torch.arange(6) < torch.tensor([6, 3, 1, 5, 2])[:, None]

    whole = model.similarity(of["input/text"][None], of["input/frames"], mask)[0]

    for video, count in enumerate(mask.sum(1).tolist()):
        cut = slice(video, video + 1)
        alone = model.similarity(of["input/text"][None], of["input/frames"][cut, :count], mask[cut, :count])[0]
        torch.testing.assert_close(whole[:, cut], alone, rtol=1e-10, atol=1e-10)


def test_xpool_in_blocks_is_xpool(monkeypatch: pytest.MonkeyPatch) -> None:
    of, mask = case("xpool"), torch.ones(5, 6, dtype=torch.bool)
    model = XPool(embed_dim=32, **TEXT_SIDE).double()
    whole = model.similarity(of["input/text"][None], of["input/frames"], mask)
    monkeypatch.setattr("camoe.train.heads.blocks.BLOCK", 2 * 5 * 32)
    torch.testing.assert_close(model.similarity(of["input/text"][None], of["input/frames"], mask), whole)


def test_seqtransf() -> None:
    of = case("clip4clip_seqtransf")
    model = SeqTransf(embed_dim=32, max_frames=10, layers=2, heads=int(of["param/heads"]), **TEXT_SIDE).double()
    model.load_state_dict(weights(of), strict=False)
    model.logit_scale.data = of["param/logit_scale_log"]
    mask = of["input/video_mask"].bool()

    similarity, by_text, by_frames = scored(model, of, mask)

    equal(similarity, of["output/similarity_times_logit_scale"])
    equal(by_text, of["grad/text"])
    equal(by_frames, of["grad/frames"])
    before = model.encode_frames(of["input/frames"], mask).detach() - of["input/frames"]
    equal(before, of["output/frames_after_transformer_before_residual"])


def test_meanp_on_normalised_frames() -> None:
    of = case("clip4clip_meanp")
    mask = of["input/video_mask"].bool()
    config = TrainConfig(features=("x",), model="meanp", text_head="none", streams="fusion")
    model = build_model(config.recipe, FeatureShape(32, 6, 1.0)).double()
    model.logit_scale.data = of["param/logit_scale_log"]
    frames = F.normalize(of["input/frames"], dim=-1) * mask[..., None]

    found = model.score(F.normalize(of["input/text"], dim=-1)[None], frames, mask)

    equal(found.detach(), of["output/similarity_times_logit_scale"])


@pytest.fixture
def drawn() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Raw texts of three streams, frames ten times as long as normalised ones, a mask."""
    generator = torch.Generator().manual_seed(0)
    mask = torch.arange(5) < torch.tensor([5, 1, 3, 2])[:, None]
    frames = 10 * F.normalize(torch.randn(4, 5, 64, generator=generator), dim=-1) * mask[..., None]
    return torch.randn(3, 6, 64, generator=generator), frames, mask


def test_the_configured_models_are_the_published_sizes() -> None:
    shape = FeatureShape(512, 12, 100.0)
    seqtransf = build_model(TrainConfig(features=("x",), model="seqtransf").recipe, shape)
    assert isinstance(seqtransf, SeqTransf)
    blocks = seqtransf.transformerClip.resblocks
    assert len(blocks) == 4
    assert {block.attn.heads for block in blocks} == {8}  # type: ignore[union-attr]
    assert {block.mlp["c_fc"].out_features for block in blocks} == {2048}  # type: ignore[index, union-attr]
    assert {block.ln_1.eps for block in blocks} == {1e-12}  # type: ignore[union-attr]
    xpool = build_model(TrainConfig(features=("x",), model="xpool").recipe, shape)
    assert isinstance(xpool, XPool)
    assert (xpool.heads, xpool.padding) == (1, "masked")


def test_without_clips_layers_seqtransf_is_nearly_zero_shot(drawn: tuple[torch.Tensor, ...]) -> None:
    texts, frames, mask = drawn
    shape = FeatureShape(64, 5, 100.0)
    model = build_model(TrainConfig(features=("x",), model="seqtransf").recipe, shape)
    zero_shot = build_model(TrainConfig(features=("x",), model="zero-shot").recipe, shape)
    expected = zero_shot.score(F.normalize(texts, dim=-1), F.normalize(frames, dim=-1), mask)
    assert (model.score(texts, frames, mask) - expected).abs().max() < 0.5
