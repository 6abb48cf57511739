"""EMCL: what texts and videos at hand have in common, found by expectation-maximisation, is added to each of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

BASES = 32
STAGES = 9
BETA = 3.0
LAMBDA = 1.0
MOMENTUM = 0.9
TINY = 1e-6


@dataclass(frozen=True)
class Moments:
    """Of `n` vectors `X (n, D)`, all that the EM needs to know: `XᵀX (D, D)` and `Xᵀ1 (D,)`, in float64."""

    products: torch.Tensor
    total: torch.Tensor
    count: int

    @classmethod
    def of(cls, vectors: torch.Tensor) -> Moments:
        """Of vectors `(n, D)`."""
        values = vectors.detach().double()
        return cls(values.T @ values, values.sum(0), len(values))

    def __add__(self, other: Moments) -> Moments:
        return Moments(self.products + other.products, self.total + other.total, self.count + other.count)


class Emcl(nn.Module):
    """Jin et al., arXiv 2211.11427; jpthu17/EMCL, `until_module.py`. TRANSDUCTIVE: all texts and videos at hand count.

        Z = softmax over bases of (Xᵀμ / λ), its columns divided by their sums      μ = X Z, its columns by their norms
        9 times, then X + β μ Zᵀ

    `X (n, D)` are all texts and videos, the `K = 32` bases `μ (n, K)` begin as one row each, the same for all. As `μ`
    is always `X Z'`, the EM needs `XᵀX` alone, and its outcome is a matrix: `X + X A`, `A = β Z' Zᵀ (D, D)`. So it
    costs `D²` operations a vector and passes of the vectors in any blocks, instead of `n x K` bases; the result is the
    published one. No gradient goes through `A`, as published.

    In training the row follows the mean of `μ` (momentum 0.9). The published code norms every base of its first row by
    itself, which makes it +1 or -1, so that there are about two distinct bases, and a reloaded model begins with
    another row; here the row is normed as a whole, and kept with the parameters.
    """

    bases: torch.Tensor

    def __init__(
        self,
        bases: int = BASES,
        *,
        stages: int = STAGES,
        beta: float = BETA,
        lamd: float = LAMBDA,
        momentum: float = MOMENTUM,
    ) -> None:
        super().__init__()
        self.stages, self.beta, self.lamd, self.momentum = stages, beta, lamd, momentum
        row = torch.randn(1, bases)
        self.register_buffer("bases", row / row.norm())

    def fit(self, moments: Moments) -> Callable[[torch.Tensor], torch.Tensor]:
        """What is to be done with every vector of which these are the moments, `(…, D) -> (…, D)`."""
        learning = self.training and torch.is_grad_enabled()
        with torch.no_grad():
            matrix, row = self._stages(moments)
            if learning:
                self.bases.mul_(self.momentum).add_((1 - self.momentum) * row.to(self.bases.dtype))

        def spread(vectors: torch.Tensor) -> torch.Tensor:
            return vectors + vectors.detach() @ matrix.to(vectors.dtype)

        return spread

    def _stages(self, moments: Moments) -> tuple[torch.Tensor, torch.Tensor]:
        """`A (D, D)`, and the mean over vectors of their bases `(1, K)`."""
        alike = moments.total[:, None] * self.bases.double()
        for _ in range(self.stages):
            shares = (alike / self.lamd).softmax(dim=1)
            shares = shares / (TINY + shares.sum(dim=0))
            norm = (shares * (moments.products @ shares)).sum(dim=0).clamp_min(0).sqrt()
            scaled = shares / (TINY + norm)
            alike = moments.products @ scaled
        return self.beta * scaled @ shares.T, (moments.total / moments.count)[None] @ scaled
