"""A run over its epochs: what is trouble, which epoch is best, when it ends; the same alone and in an ensemble."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from .data import BatchSampler, Features
from .divergence import Trace, check, loss_level
from .recipe import Recipe
from .scorer import Scorer
from .validation import validate

Tensors = dict[str, torch.Tensor]


@dataclass
class Outcome:
    """What training has come to: the best epoch's metrics and parameters, and what it took so far."""

    best: dict[str, Any]
    state: Tensors
    epochs: int = 0
    examples: int = 0
    seconds: float = 0.0


@dataclass
class Course:
    """Where a run stands between two epochs; `level` is what its loss is measured against, none before the first."""

    recipe: Recipe
    features: Features
    sampler: BatchSampler
    outcome: Outcome
    level: float | None = None
    curve: list[dict[str, Any]] = field(default_factory=list)

    def end_epoch(self, rows: torch.Tensor, model: Scorer, *, first_step: int) -> dict[str, Any]:
        """Look for trouble, validate, keep the best; returns the epoch's metrics.

        `rows (n, S + 2)` are what the epoch's steps told: stream losses, gradient norm, scale; `first_step` is the
        number, from 1, of the first of them. Raises `DivergedError` where a step went wrong.
        """
        trace, epoch = Trace.of(rows, model.weights), self.outcome.epochs + 1
        if self.level is None:
            self.level = loss_level(trace.loss[0].item(), self.sampler.batch_size)
        check(trace, self.level, self.recipe, first_step, epoch)
        row = {
            "epoch": epoch,
            "loss": trace.loss.mean().item(),
            "gradient_norm": trace.norm.mean().item(),
            "logit_scale": trace.scale[-1].item(),
        } | validate(model, self.features)
        if row["R@1"] > self.outcome.best["R@1"]:
            self.outcome.best, self.outcome.state = row, copy_state(model)
        self.outcome.epochs = epoch
        self.outcome.examples += self.sampler.pairs
        return row

    @property
    def finished(self) -> bool:
        """Whether it is at its last epoch, or out of patience."""
        optimisation, outcome = self.recipe.optimisation, self.outcome
        waited = outcome.epochs - outcome.best["epoch"]
        patience = optimisation.patience
        return outcome.epochs >= optimisation.epochs or (patience is not None and waited >= patience)


def untrained(model: Scorer, features: Features) -> Outcome:
    """What epoch 0 comes to: the model before any step; without val captions there is nothing to tell."""
    has_val = len(features.captions_of("val")) > 0
    return Outcome({"epoch": 0} | (validate(model, features) if has_val else {}), copy_state(model))


def copy_state(model: Scorer) -> Tensors:
    """Its parameters and buffers, detached from what training goes on to do with them."""
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
