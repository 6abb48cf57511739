"""TeachCLIP's AFA: frames weighted by what they are themselves, whatever the text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional as F

from ..aggregators import zero_linear
from ..recipe import Architecture
from ..scorer import Dropout, FeatureShape, text_side
from .pooled import masked_softmax
from .seqtransf import SeqTransf, Settings

if TYPE_CHECKING:
    from typing_extensions import Unpack

TEMPERATURE = 0.1


class AFA(SeqTransf):
    """Tian et al., TeachCLIP (CVPR 2024); ruc-aimc-lab/TeachCLIP, `modules/modeling.py`.

        x = seqTransf(f)      e = w · relu(W x) + b      a = softmax over frames of (e / 0.1)
        v = Σ_f a x / |x|     sim = scale · cos(t, v)

    `f` are frames as the encoder gave them; `x` is what CLIP4Clip's temporal transformer makes of them
    (`seqtransf.py`). The published code weights padded frames too, which can get most of the weight:
    `padding="published"` does so, by default they are masked. Its teacher, a second loss by a larger model's weights,
    is not here.

    `w` starts at 0: with CLIP's text layers beside the store the head starts as `seqtransf` does, without them it is
    nearly zero-shot. A video is one vector, whatever the text: an index holds it, and a search is a product.
    """

    def __init__(
        self,
        text_heads: Sequence[nn.Module],
        *,
        padding: str = "masked",
        temperature: float = TEMPERATURE,
        **settings: Unpack[Settings],
    ) -> None:
        super().__init__(text_heads, **settings)
        embed_dim = settings["embed_dim"]
        self.padding, self.temperature = padding, temperature
        self.frameLinear = nn.Linear(embed_dim, embed_dim)
        self.frameLinear2 = zero_linear(embed_dim, 1)

    def frame_logits(self, encoded: torch.Tensor) -> torch.Tensor:
        """`e (N, T)` of `x (N, T, D)`."""
        logits: torch.Tensor = self.frameLinear2(F.relu(self.frameLinear(encoded)))
        return logits.squeeze(-1)

    def pool(self, encoded: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """`v (N, D)` before it is normalised, of `x (N, T, D)`."""
        shares = masked_softmax(self.frame_logits(encoded) / self.temperature, mask, self.padding)
        return torch.einsum("nt,ntd->nd", shares, F.normalize(encoded, dim=-1))

    def encode_videos(self, frames: torch.Tensor, mask: torch.Tensor, dropout: Dropout | None = None) -> torch.Tensor:
        """`(N, T, D), (N, T)` -> `v (S, N, D)`, normalised, the same for every stream."""
        pooled = self.pool(self.encode_frames(frames, mask), mask)
        return F.normalize(pooled, dim=-1).expand(len(self.text_heads), -1, -1)


def build(architecture: Architecture, shape: FeatureShape) -> AFA:
    """The head as it is trained."""
    return AFA(
        embed_dim=shape.embed_dim,
        max_frames=shape.max_frames,
        padding=architecture.padding,
        **text_side(architecture, shape, text_head="none"),
    )
