"""Building a model by its name, and the models that are made of experts."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

import torch
from torch import nn

from ..pipeline.text_names import FUSION
from .experts import Experts
from .gate import GATES
from .heads.emcl import Emcl
from .recipe import Architecture, Recipe
from .scorer import MAX_LOGIT_SCALE, Dropout, ExpertScorer, FeatureShape, Scorer, text_side

__all__ = ["MAX_LOGIT_SCALE", "Dropout", "FeatureShape", "Scorer", "build_model"]

Builder = Callable[[Architecture, FeatureShape], Scorer]


def build_model(recipe: Recipe, shape: FeatureShape) -> Scorer:
    """The model of a recipe (`TrainConfig(…).recipe`) on the CPU, its parameters drawn by the recipe's seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        model = _builder(recipe.architecture.facts.build)(recipe.architecture, shape)
        if recipe.architecture.emcl:
            model.emcl = Emcl()
        return model


def _builder(place: str) -> Builder:
    module, _, name = place.partition(":")
    found: Builder = getattr(import_module(module, __package__), name)
    return found


def camoe(architecture: Architecture, shape: FeatureShape) -> Scorer:
    """The paper's model: experts with projections, a gate, text heads."""
    streams, names = architecture.streams, architecture.aggregators
    experts = Experts(
        names, embed_dim=shape.embed_dim, max_frames=shape.max_frames, layers=architecture.attention_layers
    )
    fusion = streams.index(FUSION) if FUSION in streams else None
    gate = GATES[architecture.gate](streams=len(streams), experts=len(names), embed_dim=shape.embed_dim, fusion=fusion)
    return _scorer(architecture, shape, experts, gate)


def meanp(architecture: Architecture, shape: FeatureShape) -> Scorer:
    """CLIP4Clip's meanP on frozen features: zero-shot, a learnt scale, and text heads unless `text_head` is none."""
    return _without_gate(architecture, shape, "mean")


def temporal(architecture: Architecture, shape: FeatureShape) -> Scorer:
    """One temporal transformer over the frames for all streams, then the mean (what 0.1.0 called seqtransf)."""
    return _without_gate(architecture, shape, "attention")


def zero_shot(architecture: Architecture, shape: FeatureShape) -> Scorer:
    """Nothing to learn: `v = normalise(mean(X))`, `t = c`; with several streams their cosines are averaged."""
    return _without_gate(architecture, shape, "mean", trained=False)


def _without_gate(architecture: Architecture, shape: FeatureShape, aggregator: str, *, trained: bool = True) -> Scorer:
    """One expert without projection for all streams."""
    experts = Experts(
        [aggregator],
        embed_dim=shape.embed_dim,
        max_frames=shape.max_frames,
        layers=architecture.attention_layers,
        projection=False,
    )
    gate = GATES["none"](streams=len(architecture.streams), experts=1, embed_dim=shape.embed_dim, fusion=None)
    return _scorer(architecture, shape, experts, gate, trained=trained)


def _scorer(
    architecture: Architecture, shape: FeatureShape, experts: Experts, gate: nn.Module, *, trained: bool = True
) -> Scorer:
    head = architecture.text_head if trained else "none"
    return ExpertScorer(experts, gate, **text_side(architecture, shape, text_head=head), trainable_scale=trained)
