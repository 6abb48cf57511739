"""What heads share that pool a video's frames anew for every text."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from ..scorer import Dropout, Scorer
from .blocks import in_blocks
from .emcl import Moments


class PooledScorer(Scorer):
    """`sim = scale · match(t, pool(t, f))`, a block of pairs at a time; a head adds `pool`, and `match` if no cosine.

    `t` and `f` are embeddings as the encoder gave them. A pair costs at least `T · D` operations, and an index must
    keep every video's frames. `padding="published"` treats padded frames as the published code does; by default they
    are masked.
    """

    def __init__(
        self,
        text_heads: Sequence[nn.Module],
        *,
        weights: Sequence[float],
        logit_scale: float,
        padding: str = "masked",
        trainable_scale: bool = True,
    ) -> None:
        super().__init__(text_heads, weights=weights, logit_scale=logit_scale, trainable_scale=trainable_scale)
        self.padding = padding

    def encode_texts(self, texts: torch.Tensor, dropout: Dropout | None = None) -> torch.Tensor:
        """`t (S, M, D)` as they are."""
        return texts

    def encode_videos(self, frames: torch.Tensor, mask: torch.Tensor, dropout: Dropout | None = None) -> torch.Tensor:
        """`f (N, T, D)` as they are, `(1, N, T, D)`: the streams share them."""
        return frames.unsqueeze(0)

    def pool(
        self, texts: torch.Tensor, videos: torch.Tensor, mask: torch.Tensor, keep: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Texts `(m, D)`, videos `(n, T, …)`, `(n, T)` -> `(m, n, D)`; `keep (m, n, D)` is a dropout mask."""
        raise NotImplementedError

    def match(
        self, texts: torch.Tensor, pooled: torch.Tensor, videos: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        """Texts `(m, D)` and `(m, n, D)`, every video as its text pools it -> `(m, n)`."""
        return F.cosine_similarity(texts.unsqueeze(1), pooled, dim=-1)

    def compare(
        self, texts: torch.Tensor, videos: torch.Tensor, mask: torch.Tensor, dropout: Dropout | None = None
    ) -> torch.Tensor:
        """`t (S, M, D)`, `(1, N, T, …)`, `mask (N, T)` -> `sim (S, M, N)` in logit units."""
        queries, gallery = texts.flatten(0, 1), videos.squeeze(0)
        keep = None if dropout is None or dropout.pairs is None else dropout.pairs.flatten(0, 1)
        spread = None if self.emcl is None else self.emcl.fit(self._moments(queries, gallery, mask))

        def score(
            some: torch.Tensor, videos: torch.Tensor, mask: torch.Tensor, keep: torch.Tensor | None
        ) -> torch.Tensor:
            pooled = self.pool(some, videos, mask, keep)
            if spread is not None:
                some, pooled = spread(some), spread(pooled)
            return self.match(some, pooled, videos, mask)

        sim = in_blocks(score, queries, gallery, mask, keep, numbers=queries.shape[-1])
        return self.logit_scale.exp() * sim.view(*texts.shape[:2], len(mask))

    @torch.no_grad()
    def _moments(self, queries: torch.Tensor, videos: torch.Tensor, mask: torch.Tensor) -> Moments:
        """Of all texts, and of all videos as every text pools them."""
        moments = Moments.of(queries)

        def add(
            some: torch.Tensor, videos: torch.Tensor, mask: torch.Tensor, keep: torch.Tensor | None
        ) -> torch.Tensor:
            nonlocal moments
            moments = moments + Moments.of(self.pool(some, videos, mask).flatten(0, 1))
            return queries.new_empty(len(some), len(videos))

        in_blocks(add, queries, videos, mask, numbers=queries.shape[-1], whole=True)
        return moments


def masked_softmax(logits: torch.Tensor, mask: torch.Tensor, padding: str = "masked", dim: int = -1) -> torch.Tensor:
    """Softmax of logits over what `mask` holds; with `padding="published"`, over padding too."""
    if padding == "masked":
        logits = logits.masked_fill(~mask, torch.finfo(logits.dtype).min)
    return logits.softmax(dim=dim)
