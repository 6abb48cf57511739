"""A scorer that pools a video's frames anew for every text, cheaply."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from .recipe import Architecture
from .scorer import Dropout, FeatureShape, Scorer, text_side

BLOCK = 1 << 24
"""Attention weights held at once while scoring (64 MB in float32)."""


class FrameAttention(Scorer):
    """Text-conditioned pooling, X-Pool's idea (arXiv 2203.15086) without its norms and feed-forward part.

        a_ijτ = softmax_τ(t_i · W x_jτ)     u_jτ = x_jτ + V x_jτ     z_ij = Σ_τ a_ijτ u_jτ
        sim_ij = scale · cos(t_i, z_ij)

    for text `i` and frame `τ` of video `j`. `W = V = 0` at first, so that an untrained model is zero-shot mean pooling.
    All streams share them. X-Pool itself (`heads/xpool.py`) has three layer norms and a linear layer on every (text,
    video) pair: without them the cosine needs only `t · u_τ` and the products `u_σ · u_τ` of a video's own frames, and
    no `(M, N, D)` tensor ever exists.
    """

    def __init__(
        self, embed_dim: int, text_heads: Sequence[nn.Module], *, weights: Sequence[float], logit_scale: float
    ):
        super().__init__(text_heads, weights=weights, logit_scale=logit_scale)
        self.attend = nn.Parameter(torch.zeros(embed_dim, embed_dim))
        self.value = nn.Parameter(torch.zeros(embed_dim, embed_dim))

    def encode_videos(self, frames: torch.Tensor, mask: torch.Tensor, dropout: Dropout | None = None) -> torch.Tensor:
        """`(N, T, D), (N, T)` -> keys `W x` and values `u`, `(1, N, 2, T, D)`: the streams share them."""
        if dropout is not None and dropout.experts is not None:
            frames = frames * dropout.experts
        return torch.stack([frames @ self.attend.T, frames + frames @ self.value.T], dim=1).unsqueeze(0)

    def compare(
        self, texts: torch.Tensor, videos: torch.Tensor, mask: torch.Tensor, dropout: Dropout | None = None
    ) -> torch.Tensor:
        """`t (S, M, D)`, `(1, N, 2, T, D)` -> `sim (S, M, N)`, a block of texts at a time."""
        keys, values = videos.squeeze(0).unbind(dim=1)
        products = values @ values.mT
        padding = ~mask
        rows = max(1, BLOCK // max(padding.numel(), 1))
        cosine = [_pooled_cosine(block, keys, values, products, padding) for block in texts.flatten(0, 1).split(rows)]
        return self.logit_scale.exp() * torch.cat(cosine).view(*texts.shape[:2], len(mask))


def _pooled_cosine(
    texts: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, products: torch.Tensor, padding: torch.Tensor
) -> torch.Tensor:
    """`cos(t_i, z_ij) (m, N)`: texts `(m, D)`, keys and values `(N, T, D)`, products `(N, T, T)`, padding `(N, T)`."""
    shape = (len(texts), *padding.shape)
    logits = (texts @ keys.flatten(0, 1).T).view(shape)
    attention = logits.masked_fill(padding, torch.finfo(logits.dtype).min).softmax(dim=-1)
    along = (attention * (texts @ values.flatten(0, 1).T).view(shape)).sum(dim=-1)
    squared = ((attention.transpose(0, 1) @ products).transpose(0, 1) * attention).sum(dim=-1)
    return along / squared.clamp_min(torch.finfo(squared.dtype).tiny).sqrt()


def build(architecture: Architecture, shape: FeatureShape) -> FrameAttention:
    """Untrained, and so zero-shot (what 0.1.0 called xpool)."""
    return FrameAttention(shape.embed_dim, **text_side(architecture, shape, text_head=architecture.text_head))
