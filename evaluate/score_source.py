"""A model's scores as blocks: products of embeddings where they are that, else compared pair by pair."""

from __future__ import annotations

import torch

from ..pipeline.errors import CamoeError
from ..pipeline.scores import EmbeddingScores, MatrixScores, Scores
from ..train.data import Features
from ..train.encoder import CHUNK, Encoder, is_product
from ..train.scorer import Scorer
from ..train.validation import score_matrix


def model_scores(
    model: Scorer, features: Features, captions: torch.Tensor, videos: torch.Tensor, *, most_bytes: int
) -> Scores:
    """The scores of rows of captions against rows of videos; held where they take at most `most_bytes` in float64.

    Raises `CamoeError` for scores that are not finite, at once or when a block is computed, and for a transductive
    model whose scores are more than that.
    """
    if 8 * len(captions) * len(videos) <= most_bytes:
        return MatrixScores.of(score_matrix(model, features, captions, videos))
    if model.transductive:
        raise CamoeError("with --emcl a score depends on all queries at once; raise --max-matrix-gb to hold the matrix")
    if not is_product(model):
        return PairScores(model, features, captions, videos)
    encoder = Encoder(model, features)
    return EmbeddingScores.of(encoder.texts(captions, weighted=True), encoder.videos(videos))


def kin_scores(model: Scorer, features: Features, kind: str, bank: torch.Tensor, gallery: torch.Tensor) -> Scores:
    """Scores of one modality, `kind` texts or videos: rows of a bank against rows of a gallery, by the same product."""
    encoder = Encoder(model, features)
    encode = encoder.texts if kind == "texts" else encoder.videos
    return EmbeddingScores.of(encode(bank, weighted=True), encode(gallery))


class PairScores(Scores):
    """Scores that are no product: every text is compared with every video, each time that its block is asked for.

    Videos are encoded a chunk at a time, and once where they are one chunk.
    """

    def __init__(
        self,
        model: Scorer,
        features: Features,
        captions: torch.Tensor,
        videos: torch.Tensor,
        *,
        turned: bool = False,
    ) -> None:
        self.model, self.features, self.turned = model, features, turned
        self.captions, self.videos = captions, videos
        self._last: tuple[torch.Tensor, torch.Tensor] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        texts, videos = len(self.captions), len(self.videos)
        return (videos, texts) if self.turned else (texts, videos)

    @property
    def device(self) -> torch.device:
        return self.features.device

    @property
    def transposed(self) -> PairScores:
        return PairScores(self.model, self.features, self.captions, self.videos, turned=not self.turned)

    def block(self, rows: slice) -> torch.Tensor:
        if self.turned:
            return self._compared(self.captions, self.videos[rows]).T.contiguous()
        return self._compared(self.captions[rows], self.videos)

    @torch.no_grad()
    def _compared(self, captions: torch.Tensor, videos: torch.Tensor) -> torch.Tensor:
        scores = torch.empty(len(captions), len(videos), device=self.device)
        for start in range(0, len(videos), CHUNK):
            part = videos[start : start + CHUNK]
            encoded, mask = self._encoded(part), self.features.mask[part]
            for first in range(0, len(captions), CHUNK):
                texts = self.model.encode_texts(self.features.texts_of(captions[first : first + CHUNK]))
                block = self.model.mix(self.model.compare(texts, encoded, mask))
                scores[first : first + CHUNK, start : start + CHUNK] = block
        if not scores.isfinite().all():
            raise CamoeError("scores of the model are not finite; train it again, with a lower learning rate")
        return scores

    def _encoded(self, videos: torch.Tensor) -> torch.Tensor:
        if self._last is None or not torch.equal(self._last[0], videos):
            self._last = videos, self.model.encode_videos(self.features.frames_of(videos), self.features.mask[videos])
        return self._last[1]


def drawn(rows: torch.Tensor, most: int, seed: int) -> torch.Tensor:
    """At most `most` of some rows, drawn by `seed`, in their order."""
    if len(rows) <= most:
        return rows
    chosen = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))[:most].sort().values
    return rows[chosen.to(rows.device)]
