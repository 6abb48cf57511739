"""What a model makes of single frames, kept, so that the best moments of a query cost one small product."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

KEPT_BYTES = 1 << 30
"""Vectors that are kept, at most: those of 10,000 videos of 12 frames in three streams take 0.37 GB."""
_BLOCK = 32

Encode = Callable[[np.ndarray], torch.Tensor]


class FrameVectors:
    """`encode` gives the vectors of some rows' frames, `(S, R, T, D)` of norm 1, zero where there is no frame.

    They are rounded to float16, whether they were kept or are computed at the moment, so that a frame's score does not
    depend on that; by it, a cosine is off by 1e-4 at most. Once `KEPT_BYTES` are full, others are computed each time.
    """

    def __init__(self, encode: Encode, count: int, *, kept_bytes: int = KEPT_BYTES) -> None:
        self._encode, self._count, self._left = encode, count, kept_bytes
        self._kept: dict[int, torch.Tensor] = {}

    def of(self, rows: np.ndarray) -> torch.Tensor:
        """The vectors of some rows, `(S, R, T, D)` float32."""
        missing = [row for row in dict.fromkeys(rows.tolist()) if row not in self._kept]
        found = dict(zip(missing, self._encode(np.array(missing)).half().unbind(dim=1), strict=True)) if missing else {}
        for row, vectors in found.items():
            self._keep(row, vectors)
        return torch.stack([found[row] if row in found else self._kept[row] for row in rows.tolist()], dim=1).float()

    def prepare(self, go_on: Callable[[], bool] = lambda: True) -> bool:
        """Compute and keep those of all rows, where they fit; `go_on` is asked now and then. Whether they fit."""
        first = self.of(np.array([0]))
        if 2 * first.numel() * self._count > self._left + 2 * first.numel() * len(self._kept):
            return False
        for start in range(0, self._count, _BLOCK):
            if not go_on():
                break
            self.of(np.arange(start, min(start + _BLOCK, self._count)))
        return True

    @property
    def kept_bytes(self) -> int:
        """What is kept now."""
        return sum(2 * vectors.numel() for vectors in list(self._kept.values()))

    def _keep(self, row: int, vectors: torch.Tensor) -> None:
        size = 2 * vectors.numel()
        if size <= self._left:
            self._left -= size
            self._kept[row] = vectors.clone()
