"""What encoders have in common that leave texts to a tower."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from torch import Tensor

from .encoder import Encoder
from .tokens import TokenSequence


class Tower(Protocol):
    """Token sequences through a text tower, as `Encoder` says of `encode_tokens` and `encode_words`."""

    def encode(
        self, sequences: Sequence[TokenSequence], on_batch: Callable[[int], None] | None, rows: int | None
    ) -> Tensor: ...

    def words(self, sequences: Sequence[TokenSequence]) -> Iterator[tuple[int, Tensor]]: ...


class TowerEncoder(Encoder):
    """An encoder whose `_tower` reads texts."""

    _tower: Tower

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
