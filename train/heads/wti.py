"""Weighted token interaction (WTI): TI with learnt weights of words and frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn

from ..aggregators import zero_linear
from ..recipe import Architecture
from ..scorer import FeatureShape, text_side
from .pooled import masked_softmax
from .seqtransf import Settings
from .ti import TokenInteraction

if TYPE_CHECKING:
    from typing_extensions import Unpack

DEPTH = 2


class WeightedTokenInteraction(TokenInteraction):
    """Wang et al., arXiv 2203.07111; foolwood/DRL, `tvr/models/modeling.py`.

        a = softmax over words of MLP(w)      b = softmax over frames of MLP'(x)      sim: TI's (`ti.py`)

    on words and frames that are not normalised, padding left out in either code. The MLPs are `D - 1`,
    `D - D - ReLU - 1` or with one more such layer (`depth` 1, 2, 3; published: 2). Their last layers start at zero, so
    that an untrained WTI is TI; what TI's docstring says of its start and its cost holds.
    """

    def __init__(
        self,
        text_heads: Sequence[nn.Module],
        *,
        padding: str = "masked",
        depth: int = DEPTH,
        **settings: Unpack[Settings],
    ) -> None:
        super().__init__(text_heads, padding=padding, **settings)
        embed_dim = settings["embed_dim"]
        self.text_weight_fc = _weight_layers(embed_dim, depth)
        self.video_weight_fc = _weight_layers(embed_dim, depth)

    def word_shares(self, words: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """`a (…, L)`, 0 for padding."""
        return masked_softmax(self.text_weight_fc(words).squeeze(-1), mask) * mask

    def frame_shares(self, frames: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """`b (N, T)`, 0 for padding."""
        return masked_softmax(self.video_weight_fc(frames).squeeze(-1), mask) * mask


def _weight_layers(width: int, depth: int) -> nn.Module:
    if depth == 1:
        return zero_linear(width, 1)
    hidden: list[nn.Module] = []
    for _ in range(depth - 1):
        hidden += [nn.Linear(width, width), nn.ReLU()]
    return nn.Sequential(*hidden, zero_linear(width, 1))


def build(architecture: Architecture, shape: FeatureShape) -> WeightedTokenInteraction:
    """The head as it is trained."""
    return WeightedTokenInteraction(
        embed_dim=shape.embed_dim,
        max_frames=shape.max_frames,
        padding=architecture.padding,
        **text_side(architecture, shape, text_head="none"),
    )
