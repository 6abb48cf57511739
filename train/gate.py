"""Gates: how the experts `h (B, E, D)` become one video vector per stream `(B, S, D)`.

Stream `s` owns expert `s mod E`. Every gate weight starts equal (`W = 0`).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from .aggregators import masked_mean


class NoGate(nn.Module):
    """`v_s = h_{s mod E}`."""

    def __init__(self, *, streams: int, experts: int, embed_dim: int, fusion: int | None) -> None:
        super().__init__()
        self.owner = [stream % experts for stream in range(streams)]

    def forward(self, experts: torch.Tensor, frames: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return torch.stack([experts[:, own] for own in self.owner], dim=1)


class SingleGate(nn.Module):
    """Our reading of the paper: the fusion stream mixes, `v_fusion = Σ_e g_e h_e` with `g = softmax(W · mean(X))`.

    The other streams keep their own expert. `fusion` is the place of the fusion stream.
    """

    def __init__(self, *, streams: int, experts: int, embed_dim: int, fusion: int | None) -> None:
        super().__init__()
        self.owner = [stream % experts for stream in range(streams)]
        self.is_fusion = [stream == fusion for stream in range(streams)]
        self.weight = nn.Parameter(torch.zeros(experts, embed_dim))

    def forward(self, experts: torch.Tensor, frames: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        mixed = (self.shares(frames, mask).unsqueeze(-1) * experts).sum(dim=1)
        return torch.stack(
            [mixed if fusion else experts[:, own] for fusion, own in zip(self.is_fusion, self.owner, strict=True)],
            dim=1,
        )

    def shares(self, frames: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """`g (B, E)`: how much of each expert the fusion stream takes."""
        return (masked_mean(frames, mask) @ self.weight.T).softmax(dim=-1)


class FullGate(nn.Module):
    """Every stream mixes all experts: `v_s = Σ_e g_se h_e` with `g_s = softmax(W_s · mean(X))`."""

    def __init__(self, *, streams: int, experts: int, embed_dim: int, fusion: int | None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(streams, experts, embed_dim))

    def forward(self, experts: torch.Tensor, frames: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.shares(frames, mask) @ experts

    def shares(self, frames: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """`g (B, S, E)`: how much of each expert each stream takes."""
        return torch.einsum("bd,sed->bse", masked_mean(frames, mask), self.weight).softmax(dim=-1)


GATES: dict[str, Callable[..., nn.Module]] = {
    "none": NoGate,
    "single": SingleGate,
    "full": FullGate,
}
"""Made with `streams=, experts=, embed_dim=, fusion=` (the fusion stream's place, or none); called with
`(experts, frames, mask)`."""
