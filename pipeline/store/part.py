"""A share of a store's chunks, for schedulers whose jobs do not talk to each other."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """The `number`-th of `count` parts (from 1): the chunks whose numbers leave its remainder are its own."""

    number: int
    count: int

    def has(self, chunk: int) -> bool:
        return chunk % self.count == self.number - 1

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"
