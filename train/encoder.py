"""A model's embeddings of many texts and videos, a chunk encoded at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from .data import Features
from .scorer import Scorer

CHUNK = 2048


def is_product(model: Scorer) -> bool:
    """Whether a model's scores are products of embeddings, and not of text and video together."""
    return type(model).compare is Scorer.compare and not model.transductive


@dataclass(frozen=True)
class Encoder:
    """The embeddings of a product model, its `S` streams side by side: `(rows, S · D)`.

    `weighted` ones carry the streams' weights and the scale, so that weighted · plain is the score.
    """

    model: Scorer
    features: Features

    def texts(self, rows: torch.Tensor, *, weighted: bool = False) -> torch.Tensor:
        return self._encoded(rows, lambda part: self.model.encode_texts(self.features.texts_of(part)), weighted)

    def videos(self, rows: torch.Tensor, *, weighted: bool = False) -> torch.Tensor:
        features, encode = self.features, self.model.encode_videos
        return self._encoded(rows, lambda part: encode(features.frames_of(part), features.mask[part]), weighted)

    @torch.no_grad()
    def _encoded(
        self, rows: torch.Tensor, encode: Callable[[torch.Tensor], torch.Tensor], weighted: bool
    ) -> torch.Tensor:
        scale = (self.model.logit_scale.exp() * self.model.weights)[:, None, None]
        found, start = torch.empty(0), 0
        for part in rows.split(CHUNK):
            vectors = (scale * encode(part) if weighted else encode(part)).transpose(0, 1).flatten(1)
            if not start:  # as one array from the beginning: what is collected and joined would be there twice
                found = vectors.new_empty(len(rows), vectors.shape[1])
            found[start : start + len(part)] = vectors
            start += len(part)
        return found
