"""Text heads: what each stream's sentence embedding becomes before it meets the video, `(…, D) -> (…, D)`."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from .aggregators import zero_linear


class LinearHead(nn.Module):
    """`t = W c`, with `W` the identity at first."""

    def __init__(self, embed_dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.eye(embed_dim))

    def forward(self, text: torch.Tensor) -> torch.Tensor:
        return text @ self.weight.T


class ResidualHead(nn.Module):
    """`t = c + W₂ · gelu(W₁ c)`, with `W₂ = 0` at first."""

    def __init__(self, embed_dim: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(embed_dim, embed_dim)
        self.out = zero_linear(embed_dim, embed_dim)

    def forward(self, text: torch.Tensor) -> torch.Tensor:
        return text + self.out(F.gelu(self.hidden(text)))


def no_head(embed_dim: int) -> nn.Module:
    """`t = c`."""
    return nn.Identity()


TEXT_HEADS: dict[str, Callable[[int], nn.Module]] = {"none": no_head, "linear": LinearHead, "residual": ResidualHead}
