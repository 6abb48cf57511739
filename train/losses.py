"""Contrastive losses of a square similarity matrix with the true pairs on its diagonal, averaged over both directions.

`sim (…, B, B)`: rows are texts, columns videos, in logit units (`scale · cos`); a loss is `(…)`, one per matrix.
`same_text (…, B, B)` is true where the texts of rows i and j are one sentence, so that the pair (text i, video j) is
a false negative; `duplicate_text` says what happens to such a pair off the diagonal: it stays a `negative`, is taken
out (`mask`), or counts as a further `positive` (the target is then uniform over a row's positives).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from ..pipeline.errors import CamoeError
from .names import DUPLICATE_TEXT


def dual_softmax_loss(
    sim: torch.Tensor | np.ndarray,
    temperature: float = 1000.0,
    *,
    same_text: torch.Tensor | None = None,
    duplicate_text: str = "negative",
    stop_gradient_prior: bool = False,
) -> Any:
    """The paper's Dual Softmax Loss as its authors released it, the mean of both directions.

    One direction: `logits = sim * softmax(sim / temperature, dim=0) * len(sim)`, then cross-entropy of the diagonal
    over `dim=1`; the other takes `sim.T`. As temperature goes to infinity this is `cross_entropy_loss`; the released
    code trains at 1000. `stop_gradient_prior` treats the prior (the softmax) as a constant.

    float64 is computed in float64, everything else in float32; a NumPy matrix gives a NumPy number. Raises `CamoeError`
    for a matrix that is not square, a temperature that is not positive, or an unknown `duplicate_text`.
    """
    if isinstance(sim, np.ndarray):
        options: dict[str, Any] = {"same_text": same_text, "duplicate_text": duplicate_text}
        return dual_softmax_loss(torch.from_numpy(sim), temperature, **options).numpy()[()]
    if not temperature > 0:
        raise CamoeError(f"temperature must be positive, not {temperature}")
    sim, dropped, target = _prepare(sim, same_text, duplicate_text)

    def direction(scores: torch.Tensor) -> torch.Tensor:
        prior = _without(scores / temperature, dropped).softmax(dim=-2)
        prior = prior.detach() if stop_gradient_prior else prior
        return _diagonal_cross_entropy(scores * prior * scores.shape[-1], dropped, target)

    return (direction(sim) + direction(sim.mT)) / 2


def cross_entropy_loss(
    sim: torch.Tensor,
    temperature: float = math.inf,
    *,
    same_text: torch.Tensor | None = None,
    duplicate_text: str = "negative",
    stop_gradient_prior: bool = False,
) -> torch.Tensor:
    """Symmetric cross-entropy of the diagonal, over videos for each text and over texts for each video (CLIP's loss).

    It has no prior; `temperature` and `stop_gradient_prior` are there so that all losses are called alike.
    """
    sim, dropped, target = _prepare(sim, same_text, duplicate_text)
    return (_diagonal_cross_entropy(sim, dropped, target) + _diagonal_cross_entropy(sim.mT, dropped, target)) / 2


LOSSES: dict[str, Callable[..., torch.Tensor]] = {"ce": cross_entropy_loss, "dsl": dual_softmax_loss}
"""Called as `LOSSES[name](sim, temperature, same_text=…, duplicate_text=…, stop_gradient_prior=…)`."""


def _prepare(
    sim: torch.Tensor, same_text: torch.Tensor | None, duplicate_text: str
) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
    """The matrix in at least float32; the pairs to take out; the target where it is not the diagonal, all `(…, B, B)`.

    `same_text` is symmetric, so both serve either direction.
    """
    if sim.ndim < 2 or sim.shape[-2] != sim.shape[-1] or not sim.shape[-1]:
        raise CamoeError(f"sim has shape {tuple(sim.shape)}; a contrastive loss needs a square matrix of pairs")
    if duplicate_text not in DUPLICATE_TEXT:
        raise CamoeError(f"duplicate_text must be one of {', '.join(DUPLICATE_TEXT)}, not {duplicate_text!r}")
    sim = sim if sim.dtype == torch.float64 else sim.float()
    if same_text is None or duplicate_text == "negative":
        return sim, None, None
    if duplicate_text == "mask":
        return sim, same_text & ~torch.eye(sim.shape[-1], dtype=torch.bool, device=sim.device), None
    positives = same_text.to(sim.dtype)
    return sim, None, positives / positives.sum(dim=-1, keepdim=True)


def _without(scores: torch.Tensor, dropped: torch.Tensor | None) -> torch.Tensor:
    return scores if dropped is None else scores.masked_fill(dropped, -torch.inf)


def _diagonal_cross_entropy(
    logits: torch.Tensor, dropped: torch.Tensor | None, target: torch.Tensor | None
) -> torch.Tensor:
    log_probability = _without(logits, dropped).log_softmax(dim=-1)
    if target is None:
        return -log_probability.diagonal(dim1=-2, dim2=-1).mean(dim=-1)
    return -(target * log_probability).sum(dim=-1).mean(dim=-1)
