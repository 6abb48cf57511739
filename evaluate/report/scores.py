"""A subset's raw scores, whole or a few rows at a time: what a report needs of them never needs all at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import torch

from ...train.scoring import ModelScorer
from ...train.validation import CHUNK

BLOCK_BYTES = 1 << 26


class SubsetScores(Protocol):
    """`M` captions against `N` videos, float64 in logit units."""

    @property
    def shape(self) -> tuple[int, int]:
        """`(M, N)`."""

    def of_captions(self, rows: np.ndarray) -> np.ndarray:
        """`(R, N)`: some captions against all videos."""

    def of_videos(self, columns: np.ndarray) -> np.ndarray:
        """`(C, M)`: some videos against all captions."""


@dataclass(frozen=True)
class HeldScores:
    """Those of a matrix `(M, N)` that is there."""

    matrix: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        """`(M, N)`."""
        return self.matrix.shape[0], self.matrix.shape[1]

    def of_captions(self, rows: np.ndarray) -> np.ndarray:
        """`(R, N)`."""
        return self.matrix[rows]

    def of_videos(self, columns: np.ndarray) -> np.ndarray:
        """`(C, M)`."""
        return self.matrix[:, columns].T


@dataclass(frozen=True)
class ComputedScores:
    """Those of a model, computed when asked for; texts and videos are encoded once."""

    scorer: ModelScorer
    subset: str

    @property
    def shape(self) -> tuple[int, int]:
        """`(M, N)`."""
        return self._texts.shape[1], self._videos.shape[1]

    def of_captions(self, rows: np.ndarray) -> np.ndarray:
        """`(R, N)`."""
        return self._compare(torch.from_numpy(rows), slice(None))

    def of_videos(self, columns: np.ndarray) -> np.ndarray:
        """`(C, M)`."""
        return self._compare(slice(None), torch.from_numpy(columns)).T

    @torch.no_grad()
    def _compare(self, rows: torch.Tensor | slice, columns: torch.Tensor | slice) -> np.ndarray:
        features, model = self.scorer.features, self.scorer.model
        mask = features.mask[features.videos_of(self.subset)][columns]
        found = model.mix(model.compare(self._texts[:, rows], self._videos[:, columns], mask))
        scores: np.ndarray = found.cpu().numpy().astype(np.float64)
        return scores

    @cached_property
    @torch.no_grad()
    def _texts(self) -> torch.Tensor:
        features, model = self.scorer.features, self.scorer.model
        parts = features.captions_of(self.subset).split(CHUNK)
        return torch.cat([model.encode_texts(features.texts_of(part)) for part in parts], dim=1)

    @cached_property
    @torch.no_grad()
    def _videos(self) -> torch.Tensor:
        features, model = self.scorer.features, self.scorer.model
        parts = features.videos_of(self.subset).split(CHUNK)
        return torch.cat([model.encode_videos(features.frames_of(part), features.mask[part]) for part in parts], dim=1)


def query_blocks(scores: SubsetScores, direction: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """`(queries (Q,), scores (Q, G))` block by block; queries are captions for `t2v`, videos for `v2t`."""
    queries, items = scores.shape if direction == "t2v" else scores.shape[::-1]
    step = max(1, BLOCK_BYTES // (8 * items))
    for start in range(0, queries, step):
        rows = np.arange(start, min(start + step, queries))
        yield rows, scores.of_captions(rows) if direction == "t2v" else scores.of_videos(rows)
