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
    """`(B, T, D), (B, T) -> (B, D)`: `1/n · Σ_t x_t` over the `n` valid frames."""
    share = mask.to(frames.dtype) / mask.sum(dim=1, keepdim=True)
    return (share.unsqueeze(1) @ frames).squeeze(1)


class MeanAggregator(nn.Module):
    """`z = 1/n · Σ_t x_t`; nothing to learn."""

    def __init__(self, embed_dim: int, max_frames: int, layers: int) -> None:
        super().__init__()

    def forward(self, frames: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return masked_mean(frames, mask)


class SqueezeExciteAggregator(nn.Module):
    """Channel squeeze and excitation: `m = 1/n · Σ_t x_t`, `z = m ⊙ 2σ(W₂ · relu(W₁ m))`, with `W₂ = 0` at first."""

    def __init__(self, embed_dim: int, max_frames: int, layers: int) -> None:
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

    def __init__(self, embed_dim: int, max_frames: int, layers: int) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.randn(max_frames, embed_dim) * embed_dim**-0.5)
        self.layers = nn.ModuleList(TemporalLayer(embed_dim) for _ in range(layers))

    def forward(self, frames: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        position = self.position[: frames.shape[1]]
        for layer in self.layers:
            frames = layer(frames, position, mask)
        return masked_mean(frames, mask)


class TemporalLayer(nn.Module):
    """`A = Y + O · attention(norm(Y + P))`, `Y' = A + W₂ · gelu(W₁ · norm(A))`, with `O = W₂ = 0` at first.

    Padding is neither attended to nor averaged. Heads are 64 wide, as in CLIP.
    """

    def __init__(self, embed_dim: int) -> None:
        super().__init__()
        self.heads = max(embed_dim // HEAD_WIDTH, 1) if embed_dim % HEAD_WIDTH == 0 else 1
        self.attention_norm = nn.LayerNorm(embed_dim)
        self.query_key_value = nn.Linear(embed_dim, 3 * embed_dim)
        self.attention_out = zero_linear(embed_dim, embed_dim)
        self.hidden_norm = nn.LayerNorm(embed_dim)
        self.hidden = nn.Linear(embed_dim, 2 * embed_dim)
        self.hidden_out = zero_linear(2 * embed_dim, embed_dim)

    def forward(self, frames: torch.Tensor, position: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        batch, time, width = frames.shape
        projected = self.query_key_value(self.attention_norm(frames + position))
        query, key, value = (part.transpose(1, 2) for part in projected.view(batch, time, 3, self.heads, -1).unbind(2))
        attended = attention(query, key, value, mask[:, None, None, :])
        frames = frames + self.attention_out(attended.transpose(1, 2).reshape(batch, time, width))
        return frames + self.hidden_out(F.gelu(self.hidden(self.hidden_norm(frames))))


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


AGGREGATORS: dict[str, Callable[[int, int, int], nn.Module]] = {
    "mean": MeanAggregator,
    "se": SqueezeExciteAggregator,
    "attention": AttentionAggregator,
}
"""Made with `(embed_dim, max_frames, layers)`; called with `(frames, mask)`."""
