"""Experts: readings of a video, each an aggregator with parameters of its own."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from .aggregators import AGGREGATORS


class Expert(nn.Module):
    """`z = Agg(X)`, `h = normalise(z + P z)`, with `P (D, D)` zero at first; no `projection`: `h = normalise(z)`."""

    def __init__(self, aggregator: nn.Module, *, embed_dim: int, projection: bool) -> None:
        super().__init__()
        self.aggregator = aggregator
        self.projection = nn.Parameter(torch.zeros(embed_dim, embed_dim)) if projection else None

    def forward(self, frames: torch.Tensor, mask: torch.Tensor, keep: torch.Tensor | None = None) -> torch.Tensor:
        """`(B, T, D), (B, T) -> (B, D)`; `keep (B, D)` is a dropout mask over `z`, already divided by its rate."""
        aggregated = self.aggregator(frames, mask)
        if keep is not None:
            aggregated = aggregated * keep
        if self.projection is not None:
            aggregated = aggregated + aggregated @ self.projection.T
        return F.normalize(aggregated, dim=-1)


class Experts(nn.Module):
    """`E` experts beside each other: `h (B, E, D)`, one per name in `aggregators`."""

    def __init__(
        self, aggregators: Sequence[str], *, embed_dim: int, max_frames: int, layers: int = 1, projection: bool = True
    ) -> None:
        super().__init__()
        self.experts = nn.ModuleList(
            Expert(
                AGGREGATORS[name](embed_dim=embed_dim, max_frames=max_frames, layers=layers),
                embed_dim=embed_dim,
                projection=projection,
            )
            for name in aggregators
        )

    def forward(self, frames: torch.Tensor, mask: torch.Tensor, keep: torch.Tensor | None = None) -> torch.Tensor:
        """`keep (B, E, D)`: a dropout mask per expert, or none."""
        masks = [None] * len(self.experts) if keep is None else keep.unbind(dim=1)
        return torch.stack(
            [expert(frames, mask, part) for expert, part in zip(self.experts, masks, strict=True)], dim=1
        )
