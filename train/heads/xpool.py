"""X-Pool: frames pooled anew for every text, by attention from the text to the frames."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from ..recipe import Architecture
from ..scorer import Dropout, FeatureShape, text_side
from .pooled import PooledScorer, masked_softmax


class XPool(PooledScorer):
    """Gorti et al., arXiv 2203.15086; layer6ai-labs/xpool, `modules/transformer.py`.

        t' = LN1(t), f' = LN1(f)       a = softmax over frames of (Wq t' · Wk f' / √d)
        o = LN2(Wo Σ_f a Wv f' + bo)   z = LN3(o + dropout(Wl o))        sim = scale · cos(t, z)

    `t` and `f` are embeddings as the encoder gave them; in the cosine the text is not normed by LN1. One head by
    default. The published code pools padded frames like others: `padding="published"` does so too, by default they are
    masked. All streams share it. The matrices start as identities, the norms plain: attention by cosine at
    temperature √D and, as LN3 takes the mean out of every vector, not quite zero-shot.

    A text and a video cost a `D x D` product: searching `N` videos takes `N · D²` operations a query, and an index
    must keep every video's frames. Parameters have the published names: a state dict of the published code loads.
    """

    def __init__(
        self,
        text_heads: Sequence[nn.Module],
        *,
        embed_dim: int,
        weights: Sequence[float],
        logit_scale: float,
        heads: int = 1,
        padding: str = "masked",
    ) -> None:
        super().__init__(text_heads, weights=weights, logit_scale=logit_scale, padding=padding)
        self.heads = heads
        self.cross_attn = CrossAttention(embed_dim)
        self.linear_proj = _identity(embed_dim)
        self.layer_norm1, self.layer_norm2, self.layer_norm3 = (nn.LayerNorm(embed_dim) for _ in range(3))

    def encode_videos(self, frames: torch.Tensor, mask: torch.Tensor, dropout: Dropout | None = None) -> torch.Tensor:
        """`f (N, T, D)` -> keys, and every head's values through its part of `Wo`: `(1, N, T, (1 + heads) · D)`."""
        normed = self.layer_norm1(frames)
        values = self.cross_attn.v_proj(normed).unflatten(-1, (self.heads, -1))
        parts = self.cross_attn.out_proj.weight.unflatten(1, (self.heads, -1))
        through = torch.einsum("nthd,ehd->nthe", values, parts.to(values.dtype))
        return torch.cat([self.cross_attn.k_proj(normed), through.flatten(2)], dim=-1).unsqueeze(0)

    def pool(
        self, texts: torch.Tensor, videos: torch.Tensor, mask: torch.Tensor, keep: torch.Tensor | None = None
    ) -> torch.Tensor:
        """`z (m, n, D)`; `keep` drops of `Wl o`."""
        width = texts.shape[-1]
        keys, values = videos.split([width, self.heads * width], dim=-1)
        query = self.cross_attn.q_proj(self.layer_norm1(texts)).unflatten(-1, (self.heads, -1))
        logits = torch.einsum("mhd,nthd->mnht", query, keys.unflatten(-1, (self.heads, -1)))
        shares = masked_softmax(logits * (width // self.heads) ** -0.5, mask[None, :, None], self.padding)
        mixed = torch.einsum("mnht,nthe->mne", shares, values.unflatten(-1, (self.heads, -1)))
        out = self.layer_norm2(mixed + self.cross_attn.out_proj.bias)
        linear = self.linear_proj(out)
        pooled: torch.Tensor = self.layer_norm3(out + (linear if keep is None else linear * keep))
        return pooled

    def draw_dropout(
        self, rate: float, *, texts: int, videos: int, embed_dim: int, generator: torch.Generator
    ) -> Dropout:
        """A mask for every pair `(S, M, N, D)`: dropout is on `Wl o` alone."""
        return Dropout(pairs=self._keep(rate, generator, len(self.text_heads), texts, videos, embed_dim))


class CrossAttention(nn.Module):
    """The matrices of the attention, which `XPool` uses in an order of its own."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (_identity(width) for _ in range(4))


def _identity(width: int) -> nn.Linear:
    layer = nn.Linear(width, width)
    nn.init.eye_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def build(architecture: Architecture, shape: FeatureShape) -> XPool:
    """With one head, as published."""
    side = text_side(architecture, shape, text_head="none")
    return XPool(embed_dim=shape.embed_dim, padding=architecture.padding, **side)
