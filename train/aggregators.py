"""Aggregators: the frames of a video as one vector, `(B, T, D) -> (B, D)`.

`X (B, T, D)` are L2-normalised frame embeddings, zero where `mask (B, T)` is false; every video has a valid frame. An
untrained aggregator returns the mean of the valid frames up to a positive factor, so that a model starts as zero-shot.
A new one is a module with this signature and a line in `AGGREGATORS`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

HEAD_WIDTH = 64


def masked_mean(frames: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """`(B, T, D), (B, T) -> (B, D)`: `1/n · Σ_t x_t` over the `n` valid frames; zero where there is none."""
    share = mask.to(frames.dtype) / mask.sum(dim=1, keepdim=True).clamp_min(1)
    return (share.unsqueeze(1) @ frames).squeeze(1)


class MeanAggregator(nn.Module):
    """`z = 1/n · Σ_t x_t`; nothing to learn."""

    def __init__(self, *, embed_dim: int, max_frames: int, layers: int) -> None:
        super().__init__()

    def forward(self, frames: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return masked_mean(frames, mask)


class SqueezeExciteAggregator(nn.Module):
    """Channel squeeze and excitation: `m = 1/n · Σ_t x_t`, `z = m ⊙ 2σ(W₂ · relu(W₁ m))`, with `W₂ = 0` at first."""

    def __init__(self, *, embed_dim: int, max_frames: int, layers: int) -> None:
        super().__init__()
        hidden = max(embed_dim // 4, 8)
        self.squeeze = nn.Linear(embed_dim, hidden)
        self.excite = zero_linear(hidden, embed_dim)

    def forward(self, frames: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        mean = masked_mean(frames, mask)
        return mean * 2 * torch.sigmoid(self.excite(F.relu(self.squeeze(mean))))


class AttentionAggregator(nn.Module):
    """Temporal self-attention, then the mean: `Y₀ = X`, `Y_l = Layer_l(Y_{l-1}, P)`, `z = 1/n · Σ_t y_t`.

    `P (max_frames, D)` are learnt positions, which only the attention sees.
    """

    def __init__(self, *, embed_dim: int, max_frames: int, layers: int) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.randn(max_frames, embed_dim) * embed_dim**-0.5)
        self.earlier = nn.ModuleList(TemporalLayer(embed_dim) for _ in range(layers - 1))
        self.last = TemporalLayer(embed_dim)

    def forward(self, frames: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        position = self.position[: frames.shape[1]]
        for layer in self.earlier:
            frames = layer(frames, position, mask)
        return self.last.mean(frames, position, mask)


class TemporalLayer(nn.Module):
    """`A = Y + O · attention(norm(Y) + √D · P)`, `Y' = A + W₂ · gelu(W₁ · norm(A))`, with `O = W₂ = 0` at first.

    Padding is neither attended to nor averaged. Heads are 64 wide, as in CLIP. `norm` has no gain or bias, which the
    products behind it can be; it makes a frame `√D` long, hence `√D · P`. Positions are projected apart from the
    frames: those of the first layer are frozen, and nothing needs to be sent back to them.
    """

    def __init__(self, embed_dim: int) -> None:
        super().__init__()
        self.heads = max(embed_dim // HEAD_WIDTH, 1) if embed_dim % HEAD_WIDTH == 0 else 1
        self.query_key_value = nn.Linear(embed_dim, 3 * embed_dim)
        self.attention_out = zero_linear(embed_dim, embed_dim)
        self.hidden = nn.Linear(embed_dim, 2 * embed_dim)
        self.hidden_out = zero_linear(2 * embed_dim, embed_dim)

    def forward(self, frames: torch.Tensor, position: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """`Y' (B, T, D)`."""
        attended, hidden = self._attended_and_hidden(frames, position, mask)
        return attended + self.hidden_out(hidden)

    def mean(self, frames: torch.Tensor, position: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """`1/n · Σ_t y'_t (B, D)`; as `W₂` is linear, it is given the mean only, a `T`-th of the work."""
        attended, hidden = self._attended_and_hidden(frames, position, mask)
        return masked_mean(attended, mask) + self.hidden_out(masked_mean(hidden, mask))

    def _attended_and_hidden(
        self, frames: torch.Tensor, position: torch.Tensor, mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """`A (B, T, D)` and `gelu(W₁ · norm(A)) (B, T, 2D)`."""
        batch, time, width = frames.shape
        placed = self.query_key_value(width**0.5 * position)
        projected = F.linear(norm(frames), self.query_key_value.weight).add_(placed)
        query, key, value = (part.transpose(1, 2) for part in projected.view(batch, time, 3, self.heads, -1).unbind(2))
        heads = attention(query, key, value, mask[:, None, None, :])
        attended = frames + self.attention_out(heads.transpose(1, 2).reshape(batch, time, width))
        return attended, F.gelu(self.hidden(norm(attended)))


def norm(frames: torch.Tensor) -> torch.Tensor:
    """`(x - mean(x)) / std(x)` of each vector."""
    return F.layer_norm(frames, frames.shape[-1:])


def attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """`softmax(Q Kᵀ / √d) V` over the frames where `mask` is true; `(B, H, T, d)`.

    By PyTorch's fused kernel, but for bfloat16 on a CPU, where a dozen frames cost its backward pass eight times as
    much as the plain products.
    """
    if query.device.type != "cpu" or query.dtype != torch.bfloat16:
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    scores = (query * query.shape[-1] ** -0.5) @ key.mT
    return scores.masked_fill(~mask, -torch.inf).softmax(dim=-1) @ value


def zero_linear(inputs: int, outputs: int) -> nn.Linear:
    """A linear layer that starts at zero."""
    layer = nn.Linear(inputs, outputs)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


AGGREGATORS: dict[str, Callable[..., nn.Module]] = {
    "mean": MeanAggregator,
    "se": SqueezeExciteAggregator,
    "attention": AttentionAggregator,
}
"""Made with `embed_dim=, max_frames=, layers=`; called with `(frames, mask)`."""
