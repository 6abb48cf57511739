"""Re-rankings that subtract, from every item's scores, how well it fits queries in general."""

from __future__ import annotations

import math

import torch

from ..arrays import ArrayT, matrix
from ..errors import ArrayError
from .base import Reranker
from .statistics import BestMean
from .values import restore, whole


def share(value: float, name: str) -> float:
    """A finite number."""
    if not math.isfinite(value):
        raise ArrayError(f"{name} is {value}; choose a finite number")
    return float(value)


class NearestNormalised(Reranker):
    """NNN (arXiv 2410.24114): `s - alpha · mean of the item's k best bank scores`: one number an item, so that it fits
    an index."""

    def __init__(self, alpha: float, k: int) -> None:
        self.alpha = share(alpha, "nnn's alpha")
        self.best = BestMean(k)
        self.over_bank = (self.best,)

    @property
    def bias(self) -> torch.Tensor:
        """`(N,)`: what is subtracted."""
        return self.alpha * self.best.mean

    def change(self, scores: torch.Tensor, rows: slice) -> torch.Tensor:
        return scores - self.bias


class CrossDomainScaling(Reranker):
    """CSLS (arXiv 1710.04087): `2 s - r(query) - r(item)`, `r` the mean of the k best: among the gallery for a query,
    among a query bank for an item. `r(query)` moves no rank: the order is that of NNN with alpha 1/2."""

    def __init__(self, k: int) -> None:
        self.k = whole(k, "csls's k")
        self.best = BestMean(k, "csls's k")
        self.over_bank = (self.best,)

    def change(self, scores: torch.Tensor, rows: slice) -> torch.Tensor:
        nearest = scores.topk(min(self.k, scores.shape[1]), dim=1, sorted=False).values.mean(1, keepdim=True)
        return (2 * scores).sub_(nearest).sub_(self.best.mean)


class Centred(Reranker):
    """Distribution normalisation (arXiv 2302.11084) of scores that are products of embeddings: `(q - λ q̄) · (v - λ v̄)`.

    It is `s - λ s(q̄, v)` less what is the same for all items of a query, and `s(q̄, v)` is the mean of the bank's scores
    of the item. So it needs neither embeddings nor a sample of the gallery's kind, and works for scores of any model.
    """

    def __init__(self, dn_lambda: float) -> None:
        self.dn_lambda = share(dn_lambda, "dn's lambda")
        self.best = BestMean(None)
        self.over_bank = (self.best,)

    def change(self, scores: torch.Tensor, rows: slice) -> torch.Tensor:
        return scores - self.dn_lambda * self.best.mean


def distribution_normalised(embeddings: ArrayT, sample: ArrayT, dn_lambda: float = 0.5) -> ArrayT:
    """`embeddings (M, D)` less `dn_lambda` times the mean of a `sample (B, D)` of their modality.

    Raises ArrayError for arrays that do not fit each other, or hold NaN.
    """
    values, others = (matrix(array, name).double() for array, name in ((embeddings, "embeddings"), (sample, "sample")))
    if values.shape[1] != others.shape[1]:
        raise ArrayError(f"the embeddings are {values.shape[1]} wide and the sample {others.shape[1]}; use one model's")
    return restore(values - share(dn_lambda, "dn's lambda") * others.mean(0), embeddings)
