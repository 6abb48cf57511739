"""The models by name: scorers built from a config and the shape of the features."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from .config import FUSION, TrainConfig
from .experts import Experts
from .gate import GATES
from .scorer import MAX_LOGIT_SCALE, Dropout, ExpertScorer, FeatureShape, Scorer
from .text_heads import TEXT_HEADS
from .xpool import XPool

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


def seqtransf(config: TrainConfig, shape: FeatureShape) -> Scorer:
    """CLIP4Clip's seqTransf: one transformer over the frames, added to them, then the mean; all streams share it."""
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


def xpool(config: TrainConfig, shape: FeatureShape) -> Scorer:
    """X-Pool's text-conditioned pooling of frames, shared by all streams."""
    return XPool(shape.embed_dim, **_text_side(config, shape))


def _scorer(
    config: TrainConfig, shape: FeatureShape, experts: Experts, gate: nn.Module, *, trained: bool = True
) -> Scorer:
    return ExpertScorer(experts, gate, **_text_side(config, shape, trained=trained), trainable_scale=trained)


def _text_side(config: TrainConfig, shape: FeatureShape, *, trained: bool = True) -> dict[str, Any]:
    head = TEXT_HEADS[config.text_head if trained else "none"]
    return {
        "text_heads": [head(shape.embed_dim) for _ in config.streams],
        "weights": config.weights,
        "logit_scale": min(shape.clip_logit_scale, MAX_LOGIT_SCALE),
    }


MODELS: dict[str, Callable[[TrainConfig, FeatureShape], Scorer]] = {
    "camoe": camoe,
    "meanp": meanp,
    "seqtransf": seqtransf,
    "xpool": xpool,
    "zero-shot": zero_shot,
}


def build_model(config: TrainConfig, shape: FeatureShape) -> Scorer:
    """The configured model on the CPU, its parameters drawn from the config's seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return MODELS[config.model](config, shape)
