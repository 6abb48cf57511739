"""Where scores come from: whole rows of queries against a gallery, a block at a time, so that no matrix is held.

A re-ranking, or a rank, needs some queries' scores of the whole gallery at once, and never all of them. `blocks` gives
them in order; `transposed` is the other direction, the gallery asking for the queries.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from .arrays import ArrayT, matrix
from .errors import ArrayError

BLOCK_BYTES = 2**28
"""Of one product of embeddings, as if in float64; larger ones are hardly faster."""
PIECE = 2**19
"""Numbers that are worked on at a time: larger arrays leave the processor's caches, and are new memory every time."""


class Scores(ABC):
    """`queries` x `gallery` scores, higher is better."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int]:
        """(queries, gallery)."""

    @property
    def queries(self) -> int:
        return self.shape[0]

    @property
    def gallery(self) -> int:
        return self.shape[1]

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where the blocks are."""

    @abstractmethod
    def block(self, rows: slice) -> torch.Tensor:
        """The scores of some queries against the whole gallery `(b, gallery)`, float32 or float64."""

    @property
    @abstractmethod
    def transposed(self) -> Scores:
        """The same scores with the gallery as queries."""

    def blocks(self, block_bytes: int = BLOCK_BYTES) -> Iterator[tuple[slice, torch.Tensor]]:
        """All queries in order, as `(rows, scores (b, gallery))`; what is computed at once takes `block_bytes`.

        Scores are there until the next ones are asked for, which may take their memory.
        """
        if block_bytes < 1:
            raise ArrayError(f"block_bytes is {block_bytes}; pass a positive number of bytes")
        for rows, block in self._computed(max(1, block_bytes // (8 * self.gallery))):
            for part in _slices(rows.start, rows.stop, PIECE // self.gallery):
                yield part, block[part.start - rows.start : part.stop - rows.start]

    def _computed(self, most: int) -> Iterator[tuple[slice, torch.Tensor]]:
        """Blocks of at most `most` queries."""
        for rows in _slices(0, self.queries, most):
            yield rows, self.block(rows)


@dataclass(frozen=True)
class MatrixScores(Scores):
    """Scores that are held: `scores (queries, gallery)`."""

    scores: torch.Tensor

    @classmethod
    def of(cls, scores: ArrayT, name: str = "sim") -> MatrixScores:
        """From either library; raises ArrayError for what is no matrix, or holds NaN."""
        return cls(matrix(scores, name))

    @property
    def shape(self) -> tuple[int, int]:
        queries, gallery = self.scores.shape
        return queries, gallery

    @property
    def device(self) -> torch.device:
        return self.scores.device

    @property
    def transposed(self) -> MatrixScores:
        return MatrixScores(self.scores.T)

    def block(self, rows: slice) -> torch.Tensor:
        return self.scores[rows]


@dataclass(frozen=True)
class EmbeddingScores(Scores):
    """Scores that are products: `texts (Q, D)` and `videos (N, D)`, of one precision and on one device.

    A sum of streams is one product of concatenated vectors (`[w_1 t_1, w_2 t_2]` against `[v_1, v_2]`).
    """

    texts: torch.Tensor
    videos: torch.Tensor

    @classmethod
    def of(cls, texts: ArrayT, videos: ArrayT, device: str | torch.device | None = None) -> EmbeddingScores:
        """From either library, half precision widened to float32, on `device` (default: where `texts` is).

        Raises ArrayError for embeddings that do not fit each other or are not finite.
        """
        first, second = matrix(texts, "text"), matrix(videos, "video")
        if first.shape[1] != second.shape[1]:
            raise ArrayError(
                f"text is {first.shape[1]} wide and video {second.shape[1]}; both need one model's embeddings"
            )
        for values in (first, second):
            if not all(part.isfinite().all() for part in values.split(4096)):
                raise ArrayError("text or video embeddings contain infinite values; look for a broken model or store")
        dtype = torch.promote_types(first.dtype, second.dtype)
        target = torch.device(device) if device is not None else first.device
        return cls(first.to(target, dtype), second.to(target, dtype))

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.texts), len(self.videos)

    @property
    def device(self) -> torch.device:
        return self.texts.device

    @property
    def transposed(self) -> EmbeddingScores:
        return EmbeddingScores(self.videos, self.texts)

    def block(self, rows: slice) -> torch.Tensor:
        return self.texts[rows] @ self.videos.T

    def _computed(self, most: int) -> Iterator[tuple[slice, torch.Tensor]]:
        """All into the same memory: as much again for every block would take longer than many a product."""
        memory = self.texts.new_empty(min(most, self.queries), self.gallery)
        for rows in _slices(0, self.queries, most):
            yield rows, torch.mm(self.texts[rows], self.videos.T, out=memory[: rows.stop - rows.start])


def _slices(start: int, stop: int, size: int) -> Iterator[slice]:
    step = max(1, size)
    for first in range(start, stop, step):
        yield slice(first, min(first + step, stop))
