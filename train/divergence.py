"""When training has come apart, and what to tell about it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..pipeline.errors import RunStoppedError
from .recipe import Recipe

EXPLODED = 5.0
"""How many times its level an epoch's mean loss may reach; the level is the first loss, or that of guessing."""


class DivergedError(RunStoppedError):
    """The loss or a gradient is no longer a number, or the loss exploded; going on from a checkpoint would not help."""


@dataclass(frozen=True)
class Trace:
    """What `n` steps left behind: `losses (n, S)` of the streams; loss, gradient norm and logit scale, each `(n,)`."""

    losses: torch.Tensor
    loss: torch.Tensor
    norm: torch.Tensor
    scale: torch.Tensor

    @classmethod
    def of(cls, rows: torch.Tensor, weights: torch.Tensor) -> Trace:
        """From `(n, S + 2)` rows `stream losses, norm, scale` on any device; the epoch's one transfer."""
        rows = rows.detach().cpu().double()
        return cls(rows[:, :-2], rows[:, :-2] @ weights.cpu().double(), rows[:, -2], rows[:, -1])


def loss_level(first_loss: float, batch_size: int) -> float:
    """What a loss is measured against: that of the first step, at least that of guessing, `log B`."""
    return max(first_loss, math.log(batch_size))


def check(trace: Trace, level: float, recipe: Recipe, first_step: int, epoch: int) -> None:
    """Raise `DivergedError`, naming the step, for a value that is not finite or an epoch whose loss exploded.

    `first_step` is the number, from 1, of the trace's first step.
    """
    broken = ~(trace.loss.isfinite() & trace.norm.isfinite())
    if broken.any():
        at = int(broken.nonzero()[0])
        what = "the gradient" if trace.loss[at].isfinite() else "the loss"
        raise DivergedError(_sentence(f"{what} is no longer finite", trace, at, recipe, first_step, epoch))
    if trace.loss.mean() > EXPLODED * level:
        at = int((trace.loss > EXPLODED * level).nonzero()[0])
        what = f"the loss exploded to over {EXPLODED:g} times {level:.3g}"
        raise DivergedError(_sentence(what, trace, at, recipe, first_step, epoch))


def _sentence(what: str, trace: Trace, at: int, recipe: Recipe, first_step: int, epoch: int) -> str:
    streams, loss = recipe.architecture.streams, recipe.step.loss
    values = zip(streams, trace.losses[at].tolist(), strict=True)
    told = ", ".join(f"{stream} {value:.3g}" for stream, value in values)
    before = trace.norm[:at]
    norm = f"the largest gradient norm before it {before.max():.3g}" if at else "the first of its epoch"
    remedy = f"lower --learning-rate ({recipe.optimisation.learning_rate:g})"
    if loss.name == "dsl":
        remedy += f" or raise --loss-temperature ({loss.temperature:g})"
    return (
        f"{what} at step {first_step + at} (epoch {epoch}; {_worst(streams, trace.losses[at])}: {told}; "
        f"logit scale {trace.scale[: at + 1].nan_to_num(0).max():.3g}, {norm}); {remedy}"
    )


def _worst(streams: Sequence[str], losses: torch.Tensor) -> str:
    """`every stream`, or the one that is to blame."""
    broken = ~losses.isfinite()
    if broken.all() or len(streams) == 1:
        return "every stream"
    at = int(broken.nonzero()[0]) if broken.any() else int(losses.argmax())
    return f"stream {streams[at]}"
