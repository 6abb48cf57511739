"""What our encoders have in common: frames go through them in parts on a CPU, and texts through a tower."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from .encoder import Encoder
from .side_by_side import side_by_side
from .tokens import TokenSequence


class Tower(Protocol):
    """Token sequences through a text tower, as `Encoder` says of `encode_tokens` and `encode_words`."""

    def encode(
        self, sequences: Sequence[TokenSequence], on_batch: Callable[[int], None] | None, rows: int | None
    ) -> Tensor: ...

    def words(self, sequences: Sequence[TokenSequence]) -> Iterator[tuple[int, Tensor]]: ...


class TowerEncoder(Encoder):
    """An encoder whose `_tower` reads texts, and whose `_encode` sees frames."""

    _tower: Tower

    def encode_frames(self, frames: np.ndarray | Tensor) -> Tensor:
        if tuple(frames.shape[1:]) != (self.resolution, self.resolution, 3):
            side = self.resolution
            raise ValueError(f"frames must be (B, {side}, {side}, 3), not {tuple(frames.shape)}")
        given = torch.as_tensor(frames)
        return side_by_side(self._encode, given) if self.device.type == "cpu" else self._encode(given)

    @abstractmethod
    def _encode(self, frames: Tensor) -> Tensor:
        """Frames `(B, H, W, 3)` uint8 RGB -> float32 `(B, D)` on the CPU; what `encode_frames` says, but for checks."""

    def encode_tokens(
        self,
        sequences: Sequence[TokenSequence],
        on_batch: Callable[[int], None] | None = None,
        *,
        rows: int | None = None,
    ) -> Tensor:
        return self._tower.encode(sequences, on_batch, rows)

    def encode_words(self, sequences: Sequence[TokenSequence]) -> Iterator[tuple[int, Tensor]]:
        return self._tower.words(sequences)
