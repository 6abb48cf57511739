"""A training run as values: what the model is, what it reads, what a step takes, how it is optimised.

A config stops at the door: `fit` and the sweep take the `recipe` of theirs (`TrainConfig.recipe` makes it, the only
place that does), and everything beneath takes a recipe or the part of it that it needs. Nothing here has a default;
defaults are the config's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .names import MODELS, ModelFacts


@dataclass(frozen=True)
class Architecture:
    """What a model is built from, besides the shape of the features.

    `streams` are the readings of the text and `weights` their shares, of sum 1; `aggregators` has one name an expert.
    A model reads those of the others that its entry in `MODELS` names.
    """

    model: str
    streams: tuple[str, ...]
    weights: tuple[float, ...]
    aggregators: tuple[str, ...]
    attention_layers: int
    gate: str
    text_head: str
    padding: str
    trials: int
    emcl: bool

    @property
    def facts(self) -> ModelFacts:
        """What the trainer must know of the model."""
        return MODELS[self.model]


@dataclass(frozen=True)
class FeatureSettings:
    """How a store is read: `strategies` by stream; embeddings `raw` or normalised; with `words` or without; frames
    permuted by `shuffle_seed`.

    `validation_fraction` of the training videos, drawn by `seed`, serve as `val` where the protocol has none; none of
    them where the model has nothing to train.
    """

    strategies: Mapping[str, str]
    raw: bool
    words: bool
    shuffle_seed: int | None
    validation_fraction: float | None
    seed: int


@dataclass(frozen=True)
class BatchSettings:
    """What is drawn for a step: `size` videos, captions of each, and masks at rate `dropout`."""

    size: int
    captions_per_video: int
    dropout: float


@dataclass(frozen=True)
class LossSettings:
    """The loss's name in `LOSSES` and what it reads; `own_weight` is that of the model's further loss, 0: without."""

    name: str
    temperature: float
    duplicate_text: str
    stop_gradient_prior: bool
    own_weight: float


@dataclass(frozen=True)
class StepSettings:
    """How a batch becomes gradients: encoded in `accumulate` parts, in `precision`, and compared by `loss`."""

    loss: LossSettings
    accumulate: int
    precision: str


@dataclass(frozen=True)
class Optimisation:
    """AdamW, its schedule, and when a run ends: after `epochs`, or `patience` of them without a better one."""

    epochs: int
    learning_rate: float
    weight_decay: float
    warmup: float
    clip_gradient: float
    patience: int | None


@dataclass(frozen=True)
class Recipe:
    """All of a run; `seed` is that of the first parameters, the batches and the dropout."""

    architecture: Architecture
    features: FeatureSettings
    batches: BatchSettings
    step: StepSettings
    optimisation: Optimisation
    seed: int
