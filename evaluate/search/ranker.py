"""A model's scores of queries against a gallery that is encoded once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch.nn import functional as F

from ...train.scorer import Scorer
from ...train.words import parts
from .frame_vectors import FrameVectors
from .gallery import Gallery

CANDIDATES = 1000
"""Videos that are compared with a query where a gallery is too large for all."""

Nearest = Callable[[np.ndarray, int], np.ndarray]


class Ranker:
    """Scores by stream: `(S, M, N)` in logit units, `S` streams of the model, `M` queries, `N` videos.

    Most models give a video one vector a stream, whatever the query: those are kept, and all are compared. Else the
    model compares `candidates`, and the other videos score minus infinity: a text-conditioned model (its `compare` is
    its own) must meet every pair, and takes the nearest by mean-pooled CLIP; with `nearest`, an index that gives rows
    for a vector of CLIP's and a count, no vectors are kept at all.
    """

    def __init__(
        self, model: Scorer, gallery: Gallery, *, device: torch.device, raw: bool, nearest: Nearest | None = None
    ) -> None:
        self.model, self.gallery, self.device, self.raw = model.to(device).eval(), gallery, device, raw
        self.conditioned = type(model).compare is not Scorer.compare
        self.streams = len(model.text_heads)
        self.nearest = nearest
        self.frames = FrameVectors(self._encode_frames, len(gallery))
        self.vectors = torch.empty(0)
        if nearest is None:
            parts = [self._encode(rows) for rows in gallery.blocks()]
            self.vectors = torch.cat(parts, dim=0 if self.conditioned else 1)
            if not self.conditioned:
                self.vectors = _once(self.vectors)

    @property
    def candidates(self) -> int | None:
        """How many videos the model itself compares with a query; none: all."""
        chooses = self.conditioned or self.nearest is not None
        return CANDIDATES if chooses and len(self.gallery) > CANDIDATES else None

    @torch.no_grad()
    def _encode(self, rows: np.ndarray) -> torch.Tensor:
        """`(S, B, D)`; of a text-conditioned model the mean-pooled `(B, D)`."""
        frames, mask = self.gallery.take(rows, self.device, raw=self.raw)
        return pooled(frames) if self.conditioned else self.model.encode_videos(frames, mask)

    @torch.no_grad()
    def of_texts(self, texts: torch.Tensor) -> torch.Tensor:
        """Sentence embeddings `c (S, M, D)` as the tower gave them, or `with_words` of them -> `(S, M, N)`."""
        encoded = self.encode_texts(texts)
        if not self.conditioned and self.nearest is None:
            return self._cosine(encoded, self.vectors)
        clip = torch.einsum("s,smd->md", self.model.weights, F.normalize(_sentences(texts).to(self.device), dim=-1))
        return torch.cat([self._of_candidates(encoded[:, [row]], clip[row]) for row in range(len(clip))], dim=1)

    def _of_candidates(self, text: torch.Tensor, clip: torch.Tensor) -> torch.Tensor:
        """`(S, 1, D)`, what the model compares, and the query in CLIP's space `(D,)` -> `(S, 1, N)`."""
        rows = self._near(clip)
        frames, mask = self.gallery.take(rows, self.device, raw=self.raw)
        return self._spread(rows, self.model.compare(text, self.model.encode_videos(frames, mask), mask))

    def _near(self, clip: torch.Tensor) -> np.ndarray:
        if self.nearest is not None:
            return self.nearest(clip.cpu().numpy(), CANDIDATES)
        return (self.vectors @ clip).topk(min(CANDIDATES, len(self.vectors))).indices.cpu().numpy()

    def _spread(self, rows: np.ndarray, scores: torch.Tensor) -> torch.Tensor:
        """Scores of some videos as scores of all: the others' are minus infinity."""
        everywhere = torch.full((*scores.shape[:2], len(self.gallery)), -torch.inf, device=self.device)
        everywhere[:, :, torch.from_numpy(rows).to(self.device)] = scores
        return everywhere

    @torch.no_grad()
    def encode_texts(self, texts: torch.Tensor) -> torch.Tensor:
        """What the model compares: `(S, M, D)`, or more of a model that reads words."""
        texts = texts.to(self.device)
        return self.model.encode_texts(texts if self.raw else _normalised(texts))

    @torch.no_grad()
    def of_video(self, video: torch.Tensor, clip: torch.Tensor) -> torch.Tensor:
        """A video by cosine: `encode_queries` of it, `(S, 1, D)`, and its pooled CLIP `(D,)` -> `(S, 1, N)`."""
        if self.nearest is None:
            return self._cosine(video, self.vectors)
        rows = self._near(clip)
        frames, mask = self.gallery.take(rows, self.device, raw=self.raw)
        return self._spread(rows, self._cosine(video, self.encode_queries(frames, mask)))

    def _cosine(self, queries: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
        """`(S, M, D)` and vectors of videos, `(S, N, D)`, or `(1, N, D)` or `(N, D)` of all streams -> `(S, M, N)`.

        The videos stand first in the product, which is so three times as fast for one query.
        """
        scaled = self.model.logit_scale.exp() * queries
        if vectors.dim() == 2 or len(vectors) == 1:
            found = vectors.reshape(-1, vectors.shape[-1]) @ scaled.flatten(0, 1).T
            return found.T.unflatten(0, queries.shape[:2])
        return torch.bmm(vectors, scaled.mT).mT

    @torch.no_grad()
    def pairs(self, texts: torch.Tensor, frames: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """`c (S, M, D)` against videos that need not be in the gallery, `X (B, T, D)`, `(B, T)` -> `(S, M, B)`."""
        return self.model.compare(self.encode_texts(texts), self.model.encode_videos(frames, mask), mask)

    @torch.no_grad()
    def of_rows(self, texts: torch.Tensor, rows: np.ndarray) -> torch.Tensor:
        """`c (S, M, D)` against some videos of the gallery, `rows (B,)`, each pair by the model: `(S, M, B)`."""
        if self.conditioned or self.nearest is not None:
            return self.pairs(texts, *self.gallery.take(rows, self.device, raw=self.raw))
        return self._cosine(self.encode_texts(texts), self.vectors[:, torch.from_numpy(rows).to(self.device)])

    @torch.no_grad()
    def encode_queries(self, frames: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """What stands for videos as queries: `(S, M, D)`."""
        return self._by_stream(pooled(frames) if self.conditioned else self.model.encode_videos(frames, mask))

    @torch.no_grad()
    def of_frames(self, texts: torch.Tensor | None, videos: torch.Tensor | None, rows: Sequence[int]) -> torch.Tensor:
        """One query, of `texts` `c (S, 1, D)` or of `videos` (`encode_queries`, `(S, 1, D)`), against single frames.

        A frame's score is that of a video of this frame alone -> `(S, R, T)`, NaN where there is no frame.
        """
        places = np.asarray(rows, np.int64)
        count = torch.from_numpy(self.gallery.count[places]).to(self.device)
        mask = torch.arange(self.gallery.max_frames, device=self.device) < count[:, None]
        if self.conditioned:
            found = self._conditioned_frames(texts, videos, places)
        else:
            queries = self.encode_texts(texts) if texts is not None else videos
            assert queries is not None
            found = self._cosine(queries, self.frames.of(places).flatten(1, 2))[:, 0].unflatten(1, mask.shape)
        return found.masked_fill(~mask, torch.nan)

    def _conditioned_frames(
        self, texts: torch.Tensor | None, videos: torch.Tensor | None, places: np.ndarray
    ) -> torch.Tensor:
        """`(S, R, T)`, anything where there is no frame."""
        single, there, mask = self._single(places)
        if texts is not None:
            found = self.model.compare(self.encode_texts(texts), self.model.encode_videos(single, there), there)
        else:
            assert videos is not None
            found = self._cosine(videos, self.encode_queries(single, there))
        result = torch.zeros((self.streams, *mask.shape), device=self.device)
        result[:, mask] = found[:, 0]
        return result

    def _single(self, places: np.ndarray) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """All frames of some rows as videos of one frame, their masks, and where they belong."""
        frames, mask = self.gallery.take(places, self.device, raw=self.raw)
        there = torch.ones(int(mask.sum()), 1, dtype=torch.bool, device=self.device)
        return frames[mask].unsqueeze(1), there, mask

    @torch.no_grad()
    def _encode_frames(self, places: np.ndarray) -> torch.Tensor:
        """Vectors of single frames, `(S, R, T, D)`, or `(1, R, T, D)` where all streams have the same ones."""
        single, there, mask = self._single(places)
        vectors = self.model.encode_videos(single, there)
        if not self.nearest and len(self.vectors) == 1:
            vectors = vectors[:1]
        result = vectors.new_zeros(len(vectors), *mask.shape, vectors.shape[-1])
        result[:, mask] = vectors
        return result

    def _by_stream(self, vectors: torch.Tensor) -> torch.Tensor:
        return vectors.expand(self.streams, -1, -1) if vectors.dim() == 2 else vectors


def _once(vectors: torch.Tensor) -> torch.Tensor:
    """`(S, N, D)`, or `(1, N, D)` where all streams have the same vectors."""
    same = all(torch.equal(vectors[0], other) for other in vectors[1:])
    return vectors[:1].clone() if same else vectors


def pooled(frames: torch.Tensor) -> torch.Tensor:
    """Mean-pooled CLIP, normalised: `(B, T, D) -> (B, D)`; frames that are not there are zero."""
    return F.normalize(F.normalize(frames, dim=-1).sum(dim=1), dim=-1)


def _sentences(texts: torch.Tensor) -> torch.Tensor:
    """`(S, M, D)` of texts with words or without."""
    return parts(texts)[0] if texts.dim() == 4 else texts


def _normalised(texts: torch.Tensor) -> torch.Tensor:
    """Texts with words or without; which words are there stays as it is."""
    if texts.dim() == 3:
        return F.normalize(texts, dim=-1)
    return torch.cat([F.normalize(texts[..., :-1], dim=-1), texts[..., -1:]], dim=-1)
