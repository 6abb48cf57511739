"""The training loop proper: a model, its batches, its optimiser, and the choice of the best epoch."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import torch
from tqdm import tqdm

from ..pipeline.errors import CamoeError, RunStoppedError
from .config import TrainConfig
from .data import BatchSampler, Features, draw_dropout
from .losses import LOSSES
from .model import Dropout, Scorer
from .report import Report
from .validation import validate


@dataclass(frozen=True)
class Outcome:
    """What a training run came to: the selected epoch's metrics and parameters, and what it took."""

    best: dict[str, Any]
    state: dict[str, torch.Tensor]
    epochs: int
    examples: int
    seconds: float


def train(model: Scorer, features: Features, config: TrainConfig, report: Report) -> Outcome:
    """Train `model` in place; `report` gets each epoch's metrics, epoch 0 being the untrained model."""
    started = time.perf_counter()
    best = {"epoch": 0} | (validate(model, features) if len(features.captions_of("val")) else {})
    report(best)
    state = _copy_state(model)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        return Outcome(best, state, 0, 0, time.perf_counter() - started)
    if "R@1" not in best:
        raise CamoeError(
            f"protocol {features.protocol} has no val captions whose video has features; selection needs them"
        )
    trainer = Trainer(model, features, config)
    progress = tqdm(range(1, config.epochs + 1), unit="epoch", disable=None, desc="train")
    for epoch in progress:
        row = {"epoch": epoch} | trainer.epoch(epoch) | validate(model, features)
        report(row | {"seconds": round(time.perf_counter() - started, 3)})
        if row["R@1"] > best["R@1"]:
            best, state = row, _copy_state(model)
        progress.set_postfix_str(f"loss {row['loss']:.3f}, val R@1 {row['R@1']:.1f}, best {best['R@1']:.1f}")
        if config.patience is not None and epoch - best["epoch"] >= config.patience:
            break
    progress.close()
    return Outcome(best, state, epoch, epoch * trainer.examples, time.perf_counter() - started)


class Trainer:
    """One model, its optimiser and its batches; an epoch talks to the device only at its start and end."""

    def __init__(self, model: Scorer, features: Features, config: TrainConfig) -> None:
        self.model, self.features, self.config = model, features, config
        self.sampler = BatchSampler(features, config.batch_size, config.seed)
        self.noise = torch.Generator(features.device).manual_seed(config.seed)
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        groups = [
            {"params": [p for p in self.parameters if p.ndim >= 2], "weight_decay": config.weight_decay},
            {"params": [p for p in self.parameters if p.ndim < 2], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, fused=True)
        self.total_steps = config.epochs * self.sampler.steps
        self.step = 0

    @property
    def examples(self) -> int:
        """Pairs seen in an epoch."""
        return self.sampler.steps * self.sampler.batch_size

    def epoch(self, epoch: int) -> dict[str, float]:
        """One pass over the training videos; returns the mean loss. Raises `RunStoppedError` where it is no number."""
        batches = self.sampler.epoch().to(self.features.device)
        trace = torch.stack([self._step(captions) for captions in batches])
        losses, norms = trace.cpu().double().unbind(dim=1)
        if not (losses.isfinite() & norms.isfinite()).all():
            self._explain(losses, norms, epoch)
        return {
            "loss": losses.mean().item(),
            "gradient_norm": norms.mean().item(),
            "logit_scale": self.model.logit_scale.exp().item(),
        }

    def _step(self, captions: torch.Tensor) -> torch.Tensor:
        """One update; returns `(loss, gradient norm)` on the device."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * schedule(self.step, self.total_steps, self.config.warmup)
        dropout = draw_dropout(
            self.model, self.config.dropout, len(captions), self.features.shape.embed_dim, self.noise
        )
        loss = batch_loss(self.model, self.features, captions, self.config, dropout)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.config.clip_gradient)
        self.optimizer.step()
        self.model.clamp_scale()
        self.step += 1
        return torch.stack([loss.detach(), norm])

    def _explain(self, losses: torch.Tensor, norms: torch.Tensor, epoch: int) -> None:
        first = int((~(losses.isfinite() & norms.isfinite())).nonzero()[0])
        step = (epoch - 1) * len(losses) + first + 1
        what = "loss" if not losses[first].isfinite() else "gradient"
        before = f"the largest gradient norm before it was {norms[:first].max():.3g}" if first else "it was the first"
        raise RunStoppedError(
            f"the {what} is no longer finite at step {step} (epoch {epoch}; loss {losses[first]:.3g}; {before}); "
            f"lower --learning-rate ({self.config.learning_rate:g})"
            + (f" or raise --loss-temperature ({self.config.loss_temperature:g})" if self.config.loss == "dsl" else "")
        )


def batch_loss(
    model: Scorer, features: Features, captions: torch.Tensor, config: TrainConfig, dropout: Dropout | None = None
) -> torch.Tensor:
    """`Σ_s w_s L(sim_s)` of a batch of captions `(B,)`, no two of one video."""
    videos = features.video_of_caption[captions]
    sim = model.similarity(features.texts_of(captions), features.frames[videos], features.mask[videos], dropout)
    same_text = None if config.duplicate_text == "negative" else features.same_text(captions)
    losses = [
        LOSSES[config.loss](
            sim[stream],
            config.loss_temperature,
            same_text=None if same_text is None else same_text[stream],
            duplicate_text=config.duplicate_text,
            stop_gradient_prior=config.stop_gradient_prior,
        )
        for stream in range(len(sim))
    ]
    return torch.stack(losses) @ model.weights.to(losses[0].dtype)


def schedule(step: int, total_steps: int, warmup: float) -> float:
    """The learning rate's factor at `step` from 0: a linear rise over `warmup · total_steps`, then a cosine to zero."""
    rising = warmup * total_steps
    if step < rising:
        return (step + 1) / (math.ceil(rising) + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(total_steps - rising, 1)))


def _copy_state(model: Scorer) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
