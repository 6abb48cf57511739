"""The models by name: scorers built from a config and the shape of the features."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from .config import FUSION, TrainConfig
from .experts import Experts
from .frame_attention import FrameAttention
from .gate import GATES
from .heads.seqtransf import SeqTransf
from .heads.xpool import XPool
from .scorer import MAX_LOGIT_SCALE, Dropout, ExpertScorer, FeatureShape, Scorer
from .text_heads import TEXT_HEADS

__all__ = ["MAX_LOGIT_SCALE", "MODELS", "Dropout", "FeatureShape", "Scorer", "build_model"]


def camoe(config: TrainConfig, shape: FeatureShape) -> Scorer:
    """The paper's model: experts with projections, a gate, text heads."""
    experts = Experts(
        config.aggregators,
        embed_dim=shape.embed_dim,
        max_frames=shape.max_frames,
        layers=config.attention_layers,
    )
    fusion = config.streams.index(FUSION) if FUSION in config.streams else None
    gate = GATES[config.gate](
        streams=len(config.streams), experts=config.expert_count, embed_dim=shape.embed_dim, fusion=fusion
    )
    return _scorer(config, shape, experts, gate)


def meanp(config: TrainConfig, shape: FeatureShape) -> Scorer:
    """CLIP4Clip's meanP on frozen features: zero-shot, a learnt scale, and text heads unless `text_head` is none."""
    return _without_gate(config, shape, "mean")


def temporal(config: TrainConfig, shape: FeatureShape) -> Scorer:
    """One temporal transformer over the frames for all streams, then the mean (what 0.1.0 called seqtransf)."""
    return _without_gate(config, shape, "attention")


def zero_shot(config: TrainConfig, shape: FeatureShape) -> Scorer:
    """Nothing to learn: `v = normalise(mean(X))`, `t = c`; with several streams their cosines are averaged."""
    return _without_gate(config, shape, "mean", trained=False)


def _without_gate(config: TrainConfig, shape: FeatureShape, aggregator: str, *, trained: bool = True) -> Scorer:
    """One expert without projection for all streams."""
    experts = Experts(
        [aggregator],
        embed_dim=shape.embed_dim,
        max_frames=shape.max_frames,
        layers=config.attention_layers,
        projection=False,
    )
    gate = GATES["none"](streams=len(config.streams), experts=1, embed_dim=shape.embed_dim, fusion=None)
    return _scorer(config, shape, experts, gate, trained=trained)


def frame_attention(config: TrainConfig, shape: FeatureShape) -> Scorer:
    """Frames pooled anew for every text, shared by all streams (what 0.1.0 called xpool)."""
    return FrameAttention(shape.embed_dim, **_text_side(config, shape))


def seqtransf(config: TrainConfig, shape: FeatureShape) -> Scorer:
    """CLIP4Clip's seqTransf."""
    return SeqTransf(embed_dim=shape.embed_dim, max_frames=shape.max_frames, **_text_side(config, shape, head="none"))


def xpool(config: TrainConfig, shape: FeatureShape) -> Scorer:
    """X-Pool."""
    return XPool(embed_dim=shape.embed_dim, padding=config.padding, **_text_side(config, shape, head="none"))


def _scorer(
    config: TrainConfig, shape: FeatureShape, experts: Experts, gate: nn.Module, *, trained: bool = True
) -> Scorer:
    head = config.text_head if trained else "none"
    return ExpertScorer(experts, gate, **_text_side(config, shape, head=head), trainable_scale=trained)


def _text_side(config: TrainConfig, shape: FeatureShape, *, head: str | None = None) -> dict[str, Any]:
    make_head = TEXT_HEADS[head or config.text_head]
    return {
        "text_heads": [make_head(shape.embed_dim) for _ in config.streams],
        "weights": config.weights,
        "logit_scale": min(shape.clip_logit_scale, MAX_LOGIT_SCALE),
    }


MODELS: dict[str, Callable[[TrainConfig, FeatureShape], Scorer]] = {
    "camoe": camoe,
    "meanp": meanp,
    "temporal": temporal,
    "frame-attention": frame_attention,
    "seqtransf": seqtransf,
    "xpool": xpool,
    "zero-shot": zero_shot,
}


def build_model(config: TrainConfig, shape: FeatureShape) -> Scorer:
    """The configured model on the CPU, its parameters drawn from the config's seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return MODELS[config.model](config, shape)
