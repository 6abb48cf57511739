"""Scorers: models that compare `S` readings of `M` texts with `N` videos.

A scorer encodes texts and videos apart and then compares them, so that an evaluation encodes everything once:

    encode_videos (N, T, D), (N, T) -> videos (N, …)      encode_texts (S, M, D) -> texts (S, M, …)
    compare texts, videos -> sim (S, M, N) in logit units   score = Σ_s w_s sim_s  (M, N), Σ_s w_s = 1

A text-conditioned scorer keeps frames in `videos` and does its work in `compare`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import torch
from torch import nn
from torch.nn import functional as F

from .config import FUSION, TrainConfig
from .experts import Experts
from .gate import GATES
from .text_heads import TEXT_HEADS

MAX_LOGIT_SCALE = 100.0


@dataclass(frozen=True)
class FeatureShape:
    """What a model must know of the features: `D`, `T`, and the multiplier of CLIP's cosine (100.0 for OpenAI's)."""

    embed_dim: int
    max_frames: int
    clip_logit_scale: float

    def to_dict(self) -> dict[str, float]:
        return asdict(self)


@dataclass(frozen=True)
class Dropout:
    """Masks of one step, zero or `1 / (1 - rate)`, drawn outside the model: `texts (S, B, D)`, `experts (B, E, D)`."""

    texts: torch.Tensor
    experts: torch.Tensor


class Scorer(nn.Module):
    """Experts, gate and text heads: `sim_s = scale · cos(t_s, v_s)`, `scale = exp(logit_scale)`, at most 100.

    With `trainable_scale` the scale is learnt; it starts at the store's own.
    """

    weights: torch.Tensor

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
        super().__init__()
        self.experts = experts
        self.gate = gate
        self.text_heads = nn.ModuleList(text_heads)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(logit_scale)), requires_grad=trainable_scale)
        self.register_buffer("weights", torch.tensor(weights))

    @property
    def expert_count(self) -> int:
        return len(self.experts.experts)

    def encode_videos(self, frames: torch.Tensor, mask: torch.Tensor, dropout: Dropout | None = None) -> torch.Tensor:
        """`X (N, T, D)` normalised frames, `mask (N, T)` -> `v (N, S, D)`, normalised."""
        experts = self.experts(frames, mask, None if dropout is None else dropout.experts)
        return F.normalize(self.gate(experts, frames, mask), dim=-1)

    def encode_texts(self, texts: torch.Tensor, dropout: Dropout | None = None) -> torch.Tensor:
        """`c (S, M, D)` normalised sentence embeddings -> `t (S, M, D)`, normalised."""
        if dropout is not None:
            texts = texts * dropout.texts
        heads = [head(stream) for head, stream in zip(self.text_heads, texts, strict=True)]
        return F.normalize(torch.stack(heads), dim=-1)

    def compare(self, texts: torch.Tensor, videos: torch.Tensor) -> torch.Tensor:
        """`t (S, M, D)`, `v (N, S, D)` -> `sim (S, M, N)` in logit units."""
        return self.logit_scale.exp() * torch.einsum("smd,nsd->smn", texts, videos)

    def similarity(
        self, texts: torch.Tensor, frames: torch.Tensor, mask: torch.Tensor, dropout: Dropout | None = None
    ) -> torch.Tensor:
        """All of the above: `(S, M, N)`."""
        return self.compare(self.encode_texts(texts, dropout), self.encode_videos(frames, mask, dropout))

    def mix(self, similarity: torch.Tensor) -> torch.Tensor:
        """`Σ_s w_s sim_s`: `(S, M, N) -> (M, N)`."""
        return torch.einsum("s,smn->mn", self.weights, similarity)

    def score(self, texts: torch.Tensor, frames: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Texts `(S, M, D)` against videos `(N, T, D)`: `(M, N)`."""
        return self.mix(self.similarity(texts, frames, mask))

    @torch.no_grad()
    def clamp_scale(self) -> None:
        self.logit_scale.clamp_(max=math.log(MAX_LOGIT_SCALE))


def camoe(config: TrainConfig, shape: FeatureShape) -> Scorer:
    """The paper's model: experts with projections, a gate, text heads."""
    experts = Experts(config.aggregators, shape.embed_dim, shape.max_frames, layers=config.attention_layers)
    fusion = config.streams.index(FUSION) if FUSION in config.streams else None
    gate = GATES[config.gate](len(config.streams), config.expert_count, shape.embed_dim, fusion)
    return _scorer(config, shape, experts, gate)


def meanp(config: TrainConfig, shape: FeatureShape) -> Scorer:
    """CLIP4Clip's meanP on frozen features: zero-shot, a learnt scale, and text heads unless `text_head` is none."""
    return _without_gate(config, shape, "mean")


def seqtransf(config: TrainConfig, shape: FeatureShape) -> Scorer:
    """CLIP4Clip's seqTransf: one transformer over the frames, added to them, then the mean; all streams share it."""
    return _without_gate(config, shape, "attention")


def zero_shot(config: TrainConfig, shape: FeatureShape) -> Scorer:
    """Nothing to learn: `v = normalise(mean(X))`, `t = c`; with several streams their cosines are averaged."""
    return _without_gate(config, shape, "mean", trained=False)


def _without_gate(config: TrainConfig, shape: FeatureShape, aggregator: str, *, trained: bool = True) -> Scorer:
    """One expert without projection for all streams."""
    experts = Experts([aggregator], shape.embed_dim, shape.max_frames, layers=config.attention_layers, projection=False)
    gate = GATES["none"](len(config.streams), 1, shape.embed_dim, None)
    return _scorer(config, shape, experts, gate, trained=trained)


def _scorer(
    config: TrainConfig, shape: FeatureShape, experts: Experts, gate: nn.Module, *, trained: bool = True
) -> Scorer:
    head = TEXT_HEADS[config.text_head if trained else "none"]
    return Scorer(
        experts,
        gate,
        [head(shape.embed_dim) for _ in config.streams],
        weights=config.weights,
        logit_scale=min(shape.clip_logit_scale, MAX_LOGIT_SCALE),
        trainable_scale=trained,
    )


MODELS: dict[str, Callable[[TrainConfig, FeatureShape], Scorer]] = {
    "camoe": camoe,
    "meanp": meanp,
    "seqtransf": seqtransf,
    "zero-shot": zero_shot,
}


def build_model(config: TrainConfig, shape: FeatureShape) -> Scorer:
    """The configured model on the CPU, its parameters drawn from the config's seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return MODELS[config.model](config, shape)
