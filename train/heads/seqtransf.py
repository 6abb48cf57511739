"""CLIP4Clip's seqTransf: CLIP's text layers once more, over the frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

import torch
from torch import nn
from torch.nn import functional as F

from ...pipeline.errors import CamoeError
from ..aggregators import attention, masked_mean, zero_linear
from ..recipe import Architecture
from ..scorer import Dropout, FeatureShape, Scorer, text_side

HEAD_WIDTH = 64
LAYERS = 4
NORM_EPSILON = 1e-12


class Sizes(TypedDict):
    """What a head on top of the temporal transformer must hand on to it."""

    embed_dim: int
    max_frames: int
    weights: Sequence[float]
    logit_scale: float


class Settings(Sizes, total=False):
    """What it may hand on besides."""

    layers: int
    heads: int | None


class OverTime(nn.Module):
    """CLIP4Clip's temporal transformer as a part of a head, under the published names; none with 0 layers."""

    layers: int

    def make_layers(self, embed_dim: int, max_frames: int, layers: int, heads: int | None) -> None:
        """Draw its parameters; to be called once, by the head's constructor."""
        self.layers = layers
        if layers:
            self.frame_position_embeddings = nn.Embedding(max_frames, embed_dim)
            nn.init.normal_(self.frame_position_embeddings.weight, std=0.01)
            self.transformerClip = Transformer(embed_dim, layers=layers, heads=heads or head_count(embed_dim))

    def encode_frames(self, frames: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """`f (N, T, D)`, `(N, T)` -> `x (N, T, D)`; without layers `x = f`."""
        if not self.layers:
            return frames
        encoded: torch.Tensor = self.transformerClip(
            frames + self.frame_position_embeddings.weight[: frames.shape[1]], mask
        )
        return encoded + frames

    @torch.no_grad()
    def start_from_clip(self, layers: Mapping[str, torch.Tensor]) -> None:
        """Take over CLIP's text layers `resblocks.N.…` and `positional_embedding (77, D)`.

        Raises `CamoeError` for a text tower of another width, or with fewer layers or positions.
        """
        if not self.layers:
            return
        position = layers["positional_embedding"]
        own = self.frame_position_embeddings.weight
        if position.shape[1] != own.shape[1]:
            raise CamoeError(
                f"seqtransf starts from CLIP's text layers, which are {position.shape[1]} wide here while embeddings "
                f"are {own.shape[1]}; delete the file of layers beside the store to start without them"
            )
        if len(position) < len(own):
            raise CamoeError(f"CLIP has positions for {len(position)} frames, the store has up to {len(own)} a video")
        state = self.transformerClip.state_dict()
        missing = [name for name in state if name not in layers]
        if missing:
            raise CamoeError(
                f"the file of CLIP's text layers beside the store lacks {missing[0]}; "
                f"write it with camoe-extract --clip-layers {len(self.transformerClip.resblocks)}"
            )
        own.copy_(position[: len(own)])
        self.transformerClip.load_state_dict({name: layers[name].float() for name in state})


class SeqTransf(OverTime, Scorer):
    """Luo et al., arXiv 2104.08860; ArrowLuo/CLIP4Clip, `modules/modeling.py` and `module_cross.py`.

        y_0 = f + P     y_l = y + MHA(LN(y)),  y = y + W₂ · quickgelu(W₁ · LN(y))     x = y_L + f
        v = mean over valid frames of x / |x|          sim = scale · cos(t, v)

    `f` are frame embeddings as the encoder gave them, `P` learnt positions, `L` 4 layers of heads 64 wide with a
    feed-forward part of 4 D. Padding is not attended to and not averaged. There is no dropout. All streams share it.

    The published model starts from the first layers and the positions of CLIP's text tower (`start_from_clip`). Without
    them the last products of each part start at zero and the positions small, so that `x = 2 f + P` and the model is
    nearly zero-shot mean pooling. Parameters have the published names: a state dict of the published code loads.
    """

    def __init__(
        self,
        text_heads: Sequence[nn.Module],
        *,
        embed_dim: int,
        max_frames: int,
        weights: Sequence[float],
        logit_scale: float,
        layers: int = LAYERS,
        heads: int | None = None,
    ) -> None:
        super().__init__(text_heads, weights=weights, logit_scale=logit_scale)
        self.make_layers(embed_dim, max_frames, layers, heads)

    def encode_videos(self, frames: torch.Tensor, mask: torch.Tensor, dropout: Dropout | None = None) -> torch.Tensor:
        """`(N, T, D), (N, T)` -> `v (S, N, D)`, normalised, the same for every stream."""
        pooled = masked_mean(F.normalize(self.encode_frames(frames, mask), dim=-1), mask)
        return F.normalize(pooled, dim=-1).expand(len(self.text_heads), -1, -1)

    def encode_texts(self, texts: torch.Tensor, dropout: Dropout | None = None) -> torch.Tensor:
        """`(S, M, D)`, normalised."""
        return super().encode_texts(texts)


def head_count(width: int) -> int:
    """Heads 64 wide, as in CLIP; one where the width is no multiple of that."""
    return width // HEAD_WIDTH if width >= HEAD_WIDTH and width % HEAD_WIDTH == 0 else 1


class Transformer(nn.Module):
    """Pre-norm blocks without a last norm."""

    def __init__(self, width: int, *, layers: int, heads: int) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList(Block(width, heads) for _ in range(layers))

    def forward(self, values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """`(N, T, D)`, `mask (N, T)` -> `(N, T, D)`; what is masked is not attended to."""
        for block in self.resblocks:
            values = block(values, mask)
        return values


class Block(nn.Module):
    """`y + MHA(LN(y))`, then `y + W₂ · quickgelu(W₁ · LN(y))`, `quickgelu(z) = z · sigmoid(1.702 z)`."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attn = SelfAttention(width, heads)
        self.ln_1 = nn.LayerNorm(width, NORM_EPSILON)
        self.mlp = nn.ModuleDict({"c_fc": nn.Linear(width, 4 * width), "c_proj": zero_linear(4 * width, width)})
        self.ln_2 = nn.LayerNorm(width, NORM_EPSILON)

    def forward(self, values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        values = values + self.attn(self.ln_1(values), mask)
        hidden = self.mlp["c_fc"](self.ln_2(values))
        projected: torch.Tensor = self.mlp["c_proj"](hidden * torch.sigmoid(1.702 * hidden))
        return values + projected


class SelfAttention(nn.Module):
    """Multi-head attention with the parameters of `nn.MultiheadAttention`: rows of `in_proj` are query, key, value."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        nn.init.xavier_uniform_(self.in_proj_weight)
        self.out_proj = zero_linear(width, width)

    def forward(self, values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        batch, time, width = values.shape
        projected = F.linear(values, self.in_proj_weight, self.in_proj_bias).view(batch, time, 3, self.heads, -1)
        query, key, value = (part.transpose(1, 2) for part in projected.unbind(2))
        mixed = attention(query, key, value, mask[:, None, None, :])
        out: torch.Tensor = self.out_proj(mixed.transpose(1, 2).reshape(batch, time, width))
        return out


def build(architecture: Architecture, shape: FeatureShape) -> SeqTransf:
    """Of the published size, as yet without CLIP's layers."""
    side = text_side(architecture, shape, text_head="none")
    return SeqTransf(embed_dim=shape.embed_dim, max_frames=shape.max_frames, **side)
