"""Scorers: models that compare `S` readings of `M` texts with `N` videos.

A scorer encodes texts and videos apart and then compares them, so that an evaluation encodes everything once:

    encode_texts (S, M, D) -> texts (S, M, D)         encode_videos (N, T, D), (N, T) -> videos (S, N, …)
    compare texts, videos, mask (N, T) -> sim (S, M, N) in logit units
    score = Σ_s w_s sim_s  (M, N), Σ_s w_s = 1

Streams come first everywhere; what all streams share has one entry there. A text-conditioned scorer keeps frames in
`videos` and does its work in `compare` (`frame_attention.py`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from ..pipeline.record import Record
from .experts import Experts
from .heads.emcl import Emcl, Moments
from .recipe import Architecture
from .text_heads import TEXT_HEADS

MAX_LOGIT_SCALE = 100.0
"""As OpenAI's models were trained with."""


@dataclass(frozen=True)
class FeatureShape(Record):
    """What a model must know of the features: `D`, `T`, and the multiplier of CLIP's cosine (100.0 for OpenAI's).

    `max_words` is the number of tokens of the longest caption, for models that read words; 0 for others.
    """

    embed_dim: int
    max_frames: int
    clip_logit_scale: float
    max_words: int = 0


@dataclass(frozen=True)
class Dropout:
    """Masks of one step, zero or `1 / (1 - rate)`, drawn before it; a model has those that it takes.

    `texts (S, M, D)`, `experts (N, E, D)`, `pairs (S, M, N, D)`; `noise (S, M, D)` is what a head that draws adds.
    """

    texts: torch.Tensor | None = None
    experts: torch.Tensor | None = None
    pairs: torch.Tensor | None = None
    noise: torch.Tensor | None = None

    def part(self, texts: slice, videos: slice) -> Dropout:
        """The masks of some texts and some videos, as their encoders take them."""
        return Dropout(
            None if self.texts is None else self.texts[:, texts],
            None if self.experts is None else self.experts[videos],
        )


class Scorer(nn.Module):
    """The text side, the scale and the mixture: `sim_s = scale · cos(t_s, v_s)`, `scale = exp(logit_scale)`.

    With `trainable_scale` the scale is learnt; it starts at the store's own and stays below `max_logit_scale`: 100, or
    the store's own where that is larger, as SigLIP's may be. A scorer adds `encode_videos`.
    """

    weights: torch.Tensor
    samples = False
    """Whether a step draws something even without dropout."""

    def __init__(
        self,
        text_heads: Sequence[nn.Module],
        *,
        weights: Sequence[float],
        logit_scale: float,
        trainable_scale: bool = True,
    ) -> None:
        super().__init__()
        self.emcl: Emcl | None = None
        self.text_heads = nn.ModuleList(text_heads)
        self.max_logit_scale = max(MAX_LOGIT_SCALE, logit_scale)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(logit_scale)), requires_grad=trainable_scale)
        self.register_buffer("weights", torch.tensor(weights))

    @property
    def transductive(self) -> bool:
        """Whether a score depends on the other texts and videos at hand."""
        return self.emcl is not None

    @property
    def expert_count(self) -> int:
        """`E`: how many dropout masks a video needs."""
        return 1

    def start_from_clip(self, layers: Mapping[str, torch.Tensor]) -> None:
        """Take over CLIP's text layers; only for models whose facts say that they can."""
        raise NotImplementedError

    def encode_videos(self, frames: torch.Tensor, mask: torch.Tensor, dropout: Dropout | None = None) -> torch.Tensor:
        """`X (N, T, D)` frames, zero where `mask (N, T)` is false -> what `compare` takes, `(S, N, …)`."""
        raise NotImplementedError

    def encode_texts(self, texts: torch.Tensor, dropout: Dropout | None = None) -> torch.Tensor:
        """`c (S, M, D)` normalised sentence embeddings -> `t (S, M, D)`, normalised."""
        if dropout is not None and dropout.texts is not None:
            texts = texts * dropout.texts
        heads = [head(stream) for head, stream in zip(self.text_heads, texts, strict=True)]
        return F.normalize(torch.stack(heads), dim=-1)

    def compare(
        self, texts: torch.Tensor, videos: torch.Tensor, mask: torch.Tensor, dropout: Dropout | None = None
    ) -> torch.Tensor:
        """`t (S, M, D)`, `v (S, N, D)` and the frames' `mask (N, T)` -> `sim (S, M, N)` in logit units."""
        if self.emcl is not None:
            spread = self.emcl.fit(Moments.of(texts.flatten(0, 1)) + Moments.of(videos.flatten(0, 1)))
            texts, videos = (F.normalize(spread(vectors), dim=-1) for vectors in (texts, videos))
        return self.logit_scale.exp() * torch.einsum("smd,snd->smn", texts, videos)

    def similarity(
        self, texts: torch.Tensor, frames: torch.Tensor, mask: torch.Tensor, dropout: Dropout | None = None
    ) -> torch.Tensor:
        """All of the above: `(S, M, N)`."""
        videos = self.encode_videos(frames, mask, dropout)
        return self.compare(self.encode_texts(texts, dropout), videos, mask, dropout)

    def own_loss(
        self,
        texts: torch.Tensor,
        videos: torch.Tensor,
        mask: torch.Tensor,
        dropout: Dropout | None,
        loss_of: Callable[[torch.Tensor], torch.Tensor],
    ) -> torch.Tensor:
        """A head's further loss in training `(S,)`; only for models whose facts say that they have one.

        Encoded texts `(S, K · B, …)` of the encoded videos `(S, B, …)`, text `k · B + i` of video `i`; `loss_of` is the
        configured loss of `(S, K · B, B)`.
        """
        raise NotImplementedError

    def mix(self, similarity: torch.Tensor) -> torch.Tensor:
        """`Σ_s w_s sim_s`: `(S, M, N) -> (M, N)`."""
        return torch.einsum("s,smn->mn", self.weights, similarity)

    def score(self, texts: torch.Tensor, frames: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Texts `(S, M, D)` against videos `(N, T, D)`: `(M, N)`."""
        return self.mix(self.similarity(texts, frames, mask))

    def draw_dropout(
        self, rate: float, *, texts: int, videos: int, embed_dim: int, generator: torch.Generator
    ) -> Dropout:
        """The masks of one step for so many texts and videos, on the generator's device."""
        return Dropout(
            texts=self._keep(rate, generator, len(self.text_heads), texts, embed_dim),
            experts=self._keep(rate, generator, videos, self.expert_count, embed_dim),
        )

    @staticmethod
    def _keep(rate: float, generator: torch.Generator, *shape: int) -> torch.Tensor:
        drawn = torch.rand(*shape, generator=generator, device=generator.device)
        return drawn.ge_(rate).div_(1 - rate)

    @torch.no_grad()
    def clamp_scale(self) -> None:
        self.logit_scale.clamp_(max=math.log(self.max_logit_scale))


class ExpertScorer(Scorer):
    """Experts and a gate: one vector per video and stream, whatever the text."""

    def __init__(
        self,
        experts: Experts,
        gate: nn.Module,
        text_heads: Sequence[nn.Module],
        *,
        weights: Sequence[float],
        logit_scale: float,
        trainable_scale: bool = True,
    ) -> None:
        super().__init__(text_heads, weights=weights, logit_scale=logit_scale, trainable_scale=trainable_scale)
        self.experts = experts
        self.gate = gate

    @property
    def expert_count(self) -> int:
        return len(self.experts.experts)

    def encode_videos(self, frames: torch.Tensor, mask: torch.Tensor, dropout: Dropout | None = None) -> torch.Tensor:
        """`(N, T, D), (N, T)` -> `v (S, N, D)`, normalised."""
        experts = self.experts(frames, mask, None if dropout is None else dropout.experts)
        return F.normalize(self.gate(experts, frames, mask), dim=-1).transpose(0, 1)


def text_side(architecture: Architecture, shape: FeatureShape, *, text_head: str) -> dict[str, Any]:
    """What every scorer's constructor takes: text heads of that kind, the streams' weights and the store's scale."""
    make_head = TEXT_HEADS[text_head]
    return {
        "text_heads": [make_head(shape.embed_dim) for _ in architecture.streams],
        "weights": architecture.weights,
        "logit_scale": shape.clip_logit_scale,
    }
