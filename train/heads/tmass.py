"""T-MASS: X-Pool with a text that is no point but a mass, from which points are drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import nn
from torch.nn import functional as F

from ..recipe import Architecture
from ..scorer import Dropout, FeatureShape, text_side
from .blocks import in_blocks
from .xpool import XPool

TRIALS = 20
FIRST_LOG_RADIUS = -3.0
NORMAL_DEVIATION = 3e-3


class TMass(XPool):
    """Wang et al., arXiv 2403.17998; Jiamian-Wang/T-MASS-text-video-retrieval, `modules/stochastic_module.py`.

        z: X-Pool's      log r = W cos(t, f_1 … f_T) + b   (D,)      t_s = t + ε ⊙ r
        sim = scale · cos(t_s, z)

    with `ε` uniform in [0, 1), as published not around zero (`prior="normal"`: normal, deviation 0.003). `W (D, T)`
    fixes the number of frames at the store's; a video's missing ones count as cosine 0, with `padding="published"` as
    what stands there.

    *Training*: one draw for each text, its radius by its own video. Its own loss is that of the support text
    `t + n(mean over texts of z - t) ⊙ r`, which is also of the configured kind.

    *Scoring*: of `trials` draws for every pair the one with the largest cosine counts; 0 trials: `t` itself, and then
    the radius plays no part. Draws come from a fixed seed and are the same for every pair (the published code draws
    anew for each), so that a score depends on nothing but its text and video. The published evaluation scores a text
    against a video pooled by the video's OWN caption, which no search has; here a pair's score is that of its own text.

    Start: as X-Pool, with a radius of exp(-3); the published code's is about 1.
    Cost: X-Pool's, and `trials · D` for each pair; an index must keep every video's frames.
    """

    samples = True

    def __init__(
        self,
        text_heads: Sequence[nn.Module],
        *,
        embed_dim: int,
        max_frames: int,
        weights: Sequence[float],
        logit_scale: float,
        padding: str = "masked",
        trials: int = TRIALS,
        prior: str = "uniform",
    ) -> None:
        super().__init__(text_heads, embed_dim=embed_dim, weights=weights, logit_scale=logit_scale, padding=padding)
        self.trials, self.prior = trials, prior
        self.radius_proj = nn.Linear(max_frames, embed_dim)
        nn.init.zeros_(self.radius_proj.weight)
        nn.init.constant_(self.radius_proj.bias, FIRST_LOG_RADIUS)

    def encode_videos(self, frames: torch.Tensor, mask: torch.Tensor, dropout: Dropout | None = None) -> torch.Tensor:
        """X-Pool's keys and values, then `f` normalised: `(1, N, T, 3 D)`."""
        known = F.normalize(frames, dim=-1)
        if self.padding == "masked":
            known = known * mask.unsqueeze(-1)
        pooling = super().encode_videos(frames, mask)
        return torch.cat([pooling, known.unsqueeze(0).to(pooling.dtype)], dim=-1)

    def pool(
        self, texts: torch.Tensor, videos: torch.Tensor, mask: torch.Tensor, keep: torch.Tensor | None = None
    ) -> torch.Tensor:
        """`z (m, n, D)`."""
        return super().pool(texts, videos[..., : -texts.shape[-1]], mask, keep)

    def log_radius(self, texts: torch.Tensor, videos: torch.Tensor) -> torch.Tensor:
        """`log r (…, D)` of texts `(…, D)` and encoded videos `(…, T, …)`."""
        frames = videos[..., -texts.shape[-1] :]
        cosine = (frames @ F.normalize(texts, dim=-1).unsqueeze(-1)).squeeze(-1)
        linear = self.radius_proj
        return F.linear(cosine, linear.weight[:, : cosine.shape[-1]], linear.bias)

    def compare(
        self, texts: torch.Tensor, videos: torch.Tensor, mask: torch.Tensor, dropout: Dropout | None = None
    ) -> torch.Tensor:
        """Where a step's noise is there, `sim` of a draw for each text, by its own video's radius; else see `match`."""
        if dropout is None or dropout.noise is None:
            return super().compare(texts, videos, mask, dropout)
        drawn = texts + dropout.noise * self.own_radius(texts, videos)
        return self.logit_scale.exp() * self.cosines(texts, drawn, videos, mask, dropout)

    def own_radius(self, texts: torch.Tensor, videos: torch.Tensor) -> torch.Tensor:
        """`r (S, K · B, D)` of texts, each with its own of the `B` videos."""
        repeated = texts.unflatten(1, (-1, videos.shape[1]))
        return self.log_radius(repeated, videos.unsqueeze(1)).exp().flatten(1, 2)

    def match(
        self, texts: torch.Tensor, pooled: torch.Tensor, videos: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        """The largest cosine of a pair's draws `(m, n)`."""
        if not self.trials:
            return super().match(texts, pooled, videos, mask)
        noise = self.draw(torch.Generator().manual_seed(0), self.trials, texts.shape[-1]).to(texts)
        return self.trial_cosines(texts, pooled, videos, noise.expand(1, 1, -1, -1)).amax(dim=-1)

    def trial_cosines(
        self, texts: torch.Tensor, pooled: torch.Tensor, videos: torch.Tensor, noise: torch.Tensor
    ) -> torch.Tensor:
        """`cos(t + ε ⊙ r, z) (m, n, trials)`; `noise (m or 1, n or 1, trials, D)`.

        By the products of `ε` with `r ⊙ z`, `r ⊙ t` and `r²`, so that no `(m, n, trials, D)` is made of shared noise.
        """
        radius = self.log_radius(texts.unsqueeze(1), videos).exp()
        text = texts.unsqueeze(1)

        def along(values: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
            return torch.einsum("mnkd,mnd->mnk", by, values)

        dot = (text * pooled).sum(-1, keepdim=True) + along(radius * pooled, noise)
        squared = text.square().sum(-1, keepdim=True) + 2 * along(radius * text, noise)
        squared = squared + along(radius.square(), noise.square())
        tiny = torch.finfo(squared.dtype).tiny
        return dot / (squared.clamp_min(tiny).sqrt() * pooled.norm(dim=-1, keepdim=True).clamp_min(tiny))

    def draw(self, generator: torch.Generator, *shape: int) -> torch.Tensor:
        """`ε` of a shape."""
        if self.prior == "normal":
            return NORMAL_DEVIATION * torch.randn(*shape, generator=generator, device=generator.device)
        return torch.rand(*shape, generator=generator, device=generator.device)

    def draw_dropout(
        self, rate: float, *, texts: int, videos: int, embed_dim: int, generator: torch.Generator
    ) -> Dropout:
        """X-Pool's masks, and the noise of every text `(S, M, D)`."""
        masks = super().draw_dropout(rate, texts=texts, videos=videos, embed_dim=embed_dim, generator=generator)
        return replace(masks, noise=self.draw(generator, len(self.text_heads), texts, embed_dim))

    def own_loss(
        self,
        texts: torch.Tensor,
        videos: torch.Tensor,
        mask: torch.Tensor,
        dropout: Dropout | None,
        loss_of: Callable[[torch.Tensor], torch.Tensor],
    ) -> torch.Tensor:
        """The loss with support texts `(S,)`."""
        support = self.support_texts(texts, videos, mask, dropout)
        return loss_of(self.logit_scale.exp() * self.cosines(texts, support, videos, mask, dropout))

    def support_texts(
        self, texts: torch.Tensor, videos: torch.Tensor, mask: torch.Tensor, dropout: Dropout | None
    ) -> torch.Tensor:
        """`t + n(mean over texts of z - t) ⊙ r (S, K · B, D)`, `z` of a text's own video."""
        rows = []
        for place, stream in enumerate(texts):
            keep = None if dropout is None or dropout.pairs is None else dropout.pairs[place]
            mean = self.pool(stream, videos.squeeze(0), mask, keep).mean(dim=0)
            rows.append(mean.repeat(len(stream) // len(mean), 1) - stream)
        return texts + F.normalize(torch.stack(rows), dim=-1) * self.own_radius(texts, videos)

    def cosines(
        self,
        texts: torch.Tensor,
        matched: torch.Tensor,
        videos: torch.Tensor,
        mask: torch.Tensor,
        dropout: Dropout | None,
    ) -> torch.Tensor:
        """Cosines of `matched (S, M, D)` with the videos as `texts` pool them `(S, M, N)`."""
        keep = None if dropout is None or dropout.pairs is None else dropout.pairs.flatten(0, 1)
        queries = texts.flatten(0, 1)
        spread = None if self.emcl is None else self.emcl.fit(self._moments(queries, videos.squeeze(0), mask))
        both = torch.stack([queries, matched.flatten(0, 1)], dim=1)
        sim = in_blocks(
            partial(self._match_drawn, spread), both, videos.squeeze(0), mask, keep, numbers=texts.shape[-1]
        )
        return sim.view(*texts.shape[:2], len(mask))

    def _match_drawn(
        self,
        spread: Callable[[torch.Tensor], torch.Tensor] | None,
        both: torch.Tensor,
        videos: torch.Tensor,
        mask: torch.Tensor,
        keep: torch.Tensor | None,
    ) -> torch.Tensor:
        pooling, matched = both.unbind(dim=1)
        pooled = self.pool(pooling, videos, mask, keep)
        if spread is not None:
            matched, pooled = spread(matched), spread(pooled)
        return F.cosine_similarity(matched.unsqueeze(1), pooled, dim=-1)


def build(architecture: Architecture, shape: FeatureShape) -> TMass:
    """The head as it is trained."""
    return TMass(
        embed_dim=shape.embed_dim,
        max_frames=shape.max_frames,
        trials=architecture.trials,
        padding=architecture.padding,
        **text_side(architecture, shape, text_head="none"),
    )
