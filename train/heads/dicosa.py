"""DiCoSA: text-conditioned pooling, and a cosine for each of eight blocks of the embedding."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn import functional as F

from ...pipeline.errors import CamoeError
from ..aggregators import zero_linear
from ..recipe import Architecture
from ..scorer import Dropout, FeatureShape, text_side
from .pooled import PooledScorer, masked_softmax
from .seqtransf import LAYERS, OverTime

CENTERS = 8
TEMPERATURE = 3.0
ALPHA, BETA = 0.01, 0.005


class DiCoSA(OverTime, PooledScorer):
    """Jin et al., arXiv 2305.12218; jpthu17/DiCoSA, `tvr/models/modeling.py`.

        x = seqTransf(f)      a = softmax over frames of (t · x / 3)      v = Σ a x
        t_c, v_c: block c of 8, d = D / 8 channels
        sim = scale · Σ_c MLP([t_c, v_c]) cos(t_c, v_c),   MLP: 2d -> 4d -> ReLU -> 1, one for all blocks

    `t` and `f` are as the encoder gave them; `x` is what CLIP4Clip's temporal transformer makes of the frames
    (`seqtransf.py`), which the published training script has by default. The published code takes the softmax over
    padded frames too and drops them afterwards (`padding="published"`); by default they are masked. The weights are
    what the MLP gives, of any sign and sum. They start at 1/8 each, so that an untrained model is the mean of the
    blocks' cosines: near zero-shot.

    Its own loss, for training, pulls the blocks' correlation towards identity (`decorrelation`). On frozen features it
    has a gradient by the transformer alone.

    A search takes `N · (2 T D + D²)` operations a query, and an index must keep every video's frames.
    """

    def __init__(
        self,
        text_heads: Sequence[nn.Module],
        *,
        embed_dim: int,
        weights: Sequence[float],
        logit_scale: float,
        padding: str = "masked",
        max_frames: int,
        centers: int = CENTERS,
        temperature: float = TEMPERATURE,
        layers: int = LAYERS,
        heads: int | None = None,
    ) -> None:
        super().__init__(text_heads, weights=weights, logit_scale=logit_scale, padding=padding)
        if embed_dim % centers or embed_dim < 2 * centers:
            raise CamoeError(
                f"dicosa cuts embeddings into {centers} blocks of several numbers; {embed_dim} numbers do not make them"
            )
        self.centers, self.temperature = centers, temperature
        self.make_layers(embed_dim, max_frames, layers, heads)
        width = embed_dim // centers
        self.weight_fc = nn.Sequential(nn.Linear(2 * width, 4 * width), nn.ReLU(), zero_linear(4 * width, 1))
        nn.init.constant_(self.weight_fc[2].bias, 1 / centers)  # type: ignore[arg-type]

    def encode_videos(self, frames: torch.Tensor, mask: torch.Tensor, dropout: Dropout | None = None) -> torch.Tensor:
        """`x (1, N, T, D)`: the streams share them."""
        return self.encode_frames(frames, mask).unsqueeze(0)

    def pool(
        self, texts: torch.Tensor, videos: torch.Tensor, mask: torch.Tensor, keep: torch.Tensor | None = None
    ) -> torch.Tensor:
        """`v (m, n, D)`."""
        logits = torch.einsum("md,ntd->mnt", texts, videos) / self.temperature
        return torch.einsum("mnt,ntd->mnd", masked_softmax(logits, mask, self.padding) * mask, videos)

    def match(
        self, texts: torch.Tensor, pooled: torch.Tensor, videos: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        """`Σ_c weight_c cos(t_c, v_c) (m, n)`."""
        text = texts.unflatten(-1, (self.centers, -1)).unsqueeze(1)
        video = pooled.unflatten(-1, (self.centers, -1))
        weight = self.weight_fc(torch.cat([text.expand_as(video), video], dim=-1)).squeeze(-1)
        return (weight * F.cosine_similarity(text, video, dim=-1)).sum(dim=-1)

    def own_loss(
        self,
        texts: torch.Tensor,
        videos: torch.Tensor,
        mask: torch.Tensor,
        dropout: Dropout | None,
        loss_of: Callable[[torch.Tensor], torch.Tensor],
    ) -> torch.Tensor:
        """The decorrelation of every stream `(S,)`: each text and its own video, as it pools that."""
        repeats = texts.shape[1] // len(mask)
        frames, mask = videos.squeeze(0).repeat(repeats, 1, 1), mask.repeat(repeats, 1)
        losses = []
        for stream in texts:
            logits = torch.einsum("bd,btd->bt", stream, frames) / self.temperature
            shares = masked_softmax(logits, mask, self.padding) * mask
            losses.append(self.decorrelation(stream, torch.einsum("bt,btd->bd", shares, frames)))
        return torch.stack(losses)

    def decorrelation(
        self,
        texts: torch.Tensor,
        pooled: torch.Tensor,
        *,
        alpha: float = ALPHA,
        beta: float = BETA,
        divisor: int | None = None,
    ) -> torch.Tensor:
        """`alpha Σ (1 - K_ii)² + beta Σ_{i≠j} K_ij²` of pairs `t (B, D)` and `v (B, D)`.

        Every block is standardised over its `d` channels, `K_ij` is the mean over pairs of `t_i · v_j / d`. The
        published code divides by the number of word tokens instead of `d` (`divisor`).
        """
        text, video = (_standardised(side.unflatten(-1, (self.centers, -1))) for side in (texts, pooled))
        alike = torch.einsum("bid,bjd->ij", text, video) / (len(texts) * (divisor or text.shape[-1]))
        own = alike.diagonal()
        return alpha * (1 - own).square().sum() + beta * (alike.square().sum() - own.square().sum())


def _standardised(values: torch.Tensor) -> torch.Tensor:
    variance = values.var(dim=-1, keepdim=True).clamp_min(torch.finfo(values.dtype).tiny)
    return (values - values.mean(dim=-1, keepdim=True)) / variance.sqrt()


def build(architecture: Architecture, shape: FeatureShape) -> DiCoSA:
    """The head as it is trained."""
    return DiCoSA(
        embed_dim=shape.embed_dim,
        max_frames=shape.max_frames,
        padding=architecture.padding,
        **text_side(architecture, shape, text_head="none"),
    )
