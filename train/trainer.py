"""Training a single model: its batches, its optimiser, its checkpoints, epoch after epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..pipeline.errors import CamoeError
from .checkpoint import Checkpoint, save_checkpoint
from .course import Course, Outcome, untrained
from .data import BatchSampler, Features, draw_dropout
from .gather import batches
from .optimiser import AdamW, Moments
from .progress import Progress
from .recipe import Recipe
from .report import Report
from .scorer import Scorer
from .step import backward, batch_loss

__all__ = ["Outcome", "Saver", "Trainer", "batch_loss", "schedule", "train"]


@dataclass(frozen=True)
class Saver:
    """Where an unfinished run keeps its checkpoint, of what run it is, and the seconds between two of them."""

    folder: Path
    identity: dict[str, Any]
    seconds: float


def train(
    model: Scorer,
    features: Features,
    recipe: Recipe,
    report: Report,
    saver: Saver | None = None,
    begun: Checkpoint | None = None,
) -> Outcome:
    """Train `model` in place; `report` gets each epoch's metrics, epoch 0 being the untrained model.

    `begun` is the checkpoint to go on from. Raises `DivergedError` where the loss is no number or explodes.
    """
    started = time.perf_counter()
    if not recipe.architecture.facts.trains:
        return _epoch_zero(model, features, report, started)
    if not len(features.captions_of("val")):
        raise CamoeError(
            f"protocol {features.protocol} has no val captions whose video has features; selection needs them"
        )
    trainer = Trainer(model, features, recipe)
    outcome = _epoch_zero(model, features, report, started) if begun is None else trainer.restore(begun)
    course = Course(recipe, features, trainer.sampler, outcome, None if begun is None else begun.facts["level"])
    started -= 0.0 if begun is None else outcome.seconds
    saved = time.perf_counter()
    with Progress(recipe.optimisation.epochs, trainer.sampler.steps, outcome.epochs) as progress:
        while not course.finished:
            first_step = trainer.step + 1
            row = course.end_epoch(trainer.epoch(progress.advance), model, first_step=first_step)
            outcome.seconds = time.perf_counter() - started
            report(row | {"seconds": round(outcome.seconds, 3)})
            progress.epoch(row, outcome.best["R@1"])
            if saver is not None and time.perf_counter() - saved >= saver.seconds:
                save_checkpoint(saver.folder, trainer.checkpoint(course, saver.identity))
                saved = time.perf_counter()
    return outcome


def _epoch_zero(model: Scorer, features: Features, report: Report, started: float) -> Outcome:
    outcome = untrained(model, features)
    report(outcome.best)
    outcome.seconds = time.perf_counter() - started
    return outcome


class Trainer:
    """One model, its optimiser and its batches; an epoch talks to the device only at its start and end."""

    def __init__(self, model: Scorer, features: Features, recipe: Recipe) -> None:
        self.model, self.features, self.recipe = model, features, recipe
        batches, optimisation = recipe.batches, recipe.optimisation
        self.sampler = BatchSampler(features, batches.size, recipe.seed, batches.captions_per_video)
        self.noise = torch.Generator(features.device).manual_seed(recipe.seed)
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.optimiser = AdamW(self.parameters, optimisation.weight_decay)
        self.total_steps = optimisation.epochs * self.sampler.steps
        self.step = 0

    def epoch(self, tick: Callable[[], object] = lambda: None) -> torch.Tensor:
        """One pass over the training videos; `(steps, S + 2)`: each step's stream losses, gradient norm and scale.

        `tick` is called after each step.
        """
        rows = []
        for (features,), captions in batches([self.features], self.sampler.epoch()[:, None]):
            rows.append(self._step(captions[0], features))
            tick()
        return torch.stack(rows)

    def _step(self, captions: torch.Tensor, features: Features | None = None) -> torch.Tensor:
        """One update with `captions (K, B)`; returns `(S + 2,)`: stream losses, gradient norm, scale, on the device.

        `features`, where they were fetched for this step, are those that the rows `captions` mean.
        """
        optimisation, rate = self.recipe.optimisation, self.recipe.batches.dropout
        dropout = draw_dropout(self.model, rate, captions, self.features.shape.embed_dim, self.noise)
        for parameter in self.parameters:
            parameter.grad = None
        losses = backward(self.model, features or self.features, captions, self.recipe.step, dropout)
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, optimisation.clip_gradient)
        self.optimiser.step(optimisation.learning_rate * schedule(self.step, self.total_steps, optimisation.warmup))
        self.model.clamp_scale()
        self.step += 1
        return torch.cat([losses, torch.stack([norm, self.model.logit_scale.detach().exp()])])

    def checkpoint(self, course: Course, identity: dict[str, Any]) -> Checkpoint:
        """Everything that the next epoch depends on."""
        outcome = course.outcome
        tensors = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        tensors |= {f"best.{name}": tensor for name, tensor in outcome.state.items()}
        for index, moments in enumerate(self.optimiser.moments):
            tensors |= {f"optimizer.{index}.{name}": tensor for name, tensor in moments.items()}
        tensors["generator.batches"] = self.sampler.generator.get_state()
        tensors["generator.dropout"] = self.noise.get_state()
        facts = {
            "step": self.step,
            "level": course.level,
            "best": outcome.best,
            "epochs": outcome.epochs,
            "examples": outcome.examples,
            "seconds": outcome.seconds,
        }
        return Checkpoint(identity, facts, tensors)

    def restore(self, checkpoint: Checkpoint) -> Outcome:
        """Put everything back as `checkpoint` found it."""
        facts, device = checkpoint.facts, self.features.device
        self.model.load_state_dict(checkpoint.group("model"))
        moments: dict[int, Moments] = {}
        for name, tensor in checkpoint.group("optimizer").items():
            index, _, moment = name.partition(".")
            moments.setdefault(int(index), {})[moment] = tensor
        self.optimiser.restore(moments)
        self.sampler.generator.set_state(checkpoint.tensors["generator.batches"])
        self.noise.set_state(checkpoint.tensors["generator.dropout"])
        self.step = facts["step"]
        state = {name: tensor.to(device) for name, tensor in checkpoint.group("best").items()}
        return Outcome(facts["best"], state, facts["epochs"], facts["examples"], facts["seconds"])


def schedule(step: int, total_steps: int, warmup: float) -> float:
    """The learning rate's factor at `step` from 0: a linear rise over `warmup · total_steps`, then a cosine to zero."""
    rising = warmup * total_steps
    if step < rising:
        return (step + 1) / (math.ceil(rising) + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(total_steps - rising, 1)))
