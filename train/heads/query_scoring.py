"""Query scoring: frames weighted by their likeness to the text; nothing to learn."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from ..recipe import Architecture
from ..scorer import FeatureShape, text_side
from .pooled import PooledScorer, masked_softmax

TEMPERATURE = 0.1
EPSILON = 1e-8


class QueryScoring(PooledScorer):
    """Bain et al., arXiv 2205.08508; m-bain/clip-hitchhiker, `query_scoring.py`.

        a = softmax over frames of (cos(t, f) / 0.1)      v = Σ_f a f      sim = scale · cos(t, v)

    The scale is the store's; the published code has none. It attends to padded frames: `padding="published"` does so
    too, by default they are masked. The code's other way of averaging (`mean="scores"`) multiplies by the frames' norms
    where it means the frames, and is left out.

    Its limit at a high temperature is the mean of frames that are not normalised, nearly zero-shot. A search takes
    `2 N · T · D` operations a query, and an index must keep every video's frames.
    """

    def __init__(
        self,
        text_heads: Sequence[nn.Module],
        *,
        weights: Sequence[float],
        logit_scale: float,
        padding: str = "masked",
        temperature: float = TEMPERATURE,
        epsilon: float = EPSILON,
    ) -> None:
        super().__init__(text_heads, weights=weights, logit_scale=logit_scale, padding=padding, trainable_scale=False)
        self.temperature, self.epsilon = temperature, epsilon

    def pool(
        self, texts: torch.Tensor, videos: torch.Tensor, mask: torch.Tensor, keep: torch.Tensor | None = None
    ) -> torch.Tensor:
        """`v (m, n, D)`."""
        text, frames = (F.normalize(side, dim=-1, eps=self.epsilon) for side in (texts, videos))
        cosine = torch.einsum("md,ntd->mnt", text, frames)
        shares = masked_softmax(cosine / self.temperature, mask, self.padding)
        return torch.einsum("mnt,ntd->mnd", shares, videos)


def build(architecture: Architecture, shape: FeatureShape) -> QueryScoring:
    """The head as it is trained."""
    return QueryScoring(padding=architecture.padding, **text_side(architecture, shape, text_head="none"))
