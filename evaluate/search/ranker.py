"""A model's scores of queries against a gallery that is encoded once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional as F

from ...train.scorer import Scorer
from .gallery import Gallery

CANDIDATES = 1000
"""Videos that a text-conditioned model compares with a query; pooled vectors choose them in a larger gallery."""


class Ranker:
    """Scores by stream: `(S, M, N)` in logit units, `S` streams of the model, `M` queries, `N` videos.

    Most models give a video one vector a stream, whatever the query: those are kept. A text-conditioned model (its
    `compare` is its own) must meet every pair; there the `candidates` nearest by mean-pooled CLIP are compared, and the
    others score minus infinity.
    """

    def __init__(self, model: Scorer, gallery: Gallery, *, device: torch.device, raw: bool) -> None:
        self.model, self.gallery, self.device, self.raw = model.to(device).eval(), gallery, device, raw
        self.conditioned = type(model).compare is not Scorer.compare
        self.streams = len(model.text_heads)
        parts = [self._encode(rows) for rows in gallery.blocks()]
        self.vectors = torch.cat(parts, dim=0 if self.conditioned else 1)

    @property
    def candidates(self) -> int | None:
        """How many videos the model itself compares with a query; none: all."""
        return CANDIDATES if self.conditioned and len(self.gallery) > CANDIDATES else None

    @torch.no_grad()
    def _encode(self, rows: np.ndarray) -> torch.Tensor:
        """`(S, B, D)`; of a text-conditioned model the mean-pooled `(B, D)`."""
        frames, mask = self.gallery.take(rows, self.device, raw=self.raw)
        return pooled(frames) if self.conditioned else self.model.encode_videos(frames, mask)

    @torch.no_grad()
    def of_texts(self, texts: torch.Tensor) -> torch.Tensor:
        """Sentence embeddings `c (S, M, D)` as the tower gave them -> `(S, M, N)`."""
        encoded = self.encode_texts(texts)
        if not self.conditioned:
            return self.model.compare(encoded, self.vectors, torch.empty(0))
        return torch.cat([self._of_candidates(encoded[:, row : row + 1]) for row in range(encoded.shape[1])], dim=1)

    @torch.no_grad()
    def encode_texts(self, texts: torch.Tensor) -> torch.Tensor:
        """What the model compares: `(S, M, D)`."""
        texts = texts.to(self.device)
        return self.model.encode_texts(texts if self.raw else F.normalize(texts, dim=-1))

    @torch.no_grad()
    def of_vectors(self, videos: torch.Tensor) -> torch.Tensor:
        """Videos as queries (`encode_queries`, `(S, M, D)`), by cosine -> `(S, M, N)`."""
        return self._cosine(videos, self.vectors)

    def _cosine(self, queries: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
        return self.model.logit_scale.exp() * torch.einsum("smd,snd->smn", queries, self._by_stream(vectors))

    @torch.no_grad()
    def pairs(self, texts: torch.Tensor, frames: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """`c (S, M, D)` against videos that need not be in the gallery, `X (B, T, D)`, `(B, T)` -> `(S, M, B)`."""
        return self.model.compare(self.encode_texts(texts), self.model.encode_videos(frames, mask), mask)

    @torch.no_grad()
    def encode_queries(self, frames: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """What stands for videos as queries: `(S, M, D)`."""
        return self._by_stream(pooled(frames) if self.conditioned else self.model.encode_videos(frames, mask))

    @torch.no_grad()
    def of_frames(self, texts: torch.Tensor | None, videos: torch.Tensor | None, rows: Sequence[int]) -> torch.Tensor:
        """One query, of `texts` `c (S, 1, D)` or of `videos` (`encode_queries`, `(S, 1, D)`), against single frames.

        A frame's score is that of a video of this frame alone -> `(S, R, T)`, NaN where there is no frame.
        """
        frames, mask = self.gallery.take(np.asarray(rows, np.int64), self.device, raw=self.raw)
        single, there = frames[mask].unsqueeze(1), torch.ones(int(mask.sum()), 1, dtype=torch.bool, device=self.device)
        if texts is not None:
            found = self.model.compare(self.encode_texts(texts), self.model.encode_videos(single, there), there)
        else:
            assert videos is not None
            found = self._cosine(videos, self.encode_queries(single, there))
        result = torch.full((self.streams, *mask.shape), torch.nan, device=self.device)
        result[:, mask] = found[:, 0]
        return result

    def _by_stream(self, vectors: torch.Tensor) -> torch.Tensor:
        return vectors.expand(self.streams, -1, -1) if vectors.dim() == 2 else vectors

    def _of_candidates(self, text: torch.Tensor) -> torch.Tensor:
        """`(S, 1, D) -> (S, 1, N)` of a text-conditioned model."""
        near = torch.einsum("s,sd,nd->n", self.model.weights, F.normalize(text[:, 0], dim=-1), self.vectors)
        rows = near.topk(min(CANDIDATES, len(near))).indices
        frames, mask = self.gallery.take(rows.cpu().numpy(), self.device, raw=self.raw)
        scores = torch.full((self.streams, 1, len(near)), -torch.inf, device=self.device)
        scores[:, :, rows] = self.model.compare(text, self.model.encode_videos(frames, mask), mask)
        return scores


def pooled(frames: torch.Tensor) -> torch.Tensor:
    """Mean-pooled CLIP, normalised: `(B, T, D) -> (B, D)`; frames that are not there are zero."""
    return F.normalize(F.normalize(frames, dim=-1).sum(dim=1), dim=-1)
