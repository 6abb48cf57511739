"""What the text tower is asked to read: tokens, the positions they stand at, and what is pooled."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TokenSequence:
    """One input of a text tower; equal sequences have equal embeddings, so this is the de-duplication key.

    `tokens` begins with the start token, where the tokenizer has one, and ends with the end token; `positions`, of the
    same length, increases and gives each token its position embedding (`0, 1, 2, …` for an ordinary sentence, with gaps
    where words are left out). `pooled` indexes `tokens`: the embedding is the projection of the mean of their outputs;
    `None` pools as the tower itself does, CLIP's the end token.
    """

    tokens: tuple[int, ...]
    positions: tuple[int, ...]
    pooled: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if len(self.tokens) != len(self.positions) or not self.tokens:
            raise ValueError(f"{len(self.tokens)} tokens do not fit {len(self.positions)} positions")
