"""What a tokenizer must tell: the tokens of each part of a caption, and what stands around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from .tokens import TokenSequence


@dataclass(frozen=True)
class Framing:
    """What stands around a text's own tokens: those `before` and `after` it, of `context` places in all.

    `filler` stands where `muw-token` leaves a word out, and `pad` behind the text.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]
    context: int
    filler: int
    pad: int = 0

    @property
    def room(self) -> int:
        """How many tokens of its own a text may have."""
        return self.context - len(self.before) - len(self.after)

    def sequence(
        self, tokens: Sequence[int], places: Sequence[int] | None = None, end: int | None = None
    ) -> TokenSequence:
        """The tokens framed; `places` are theirs among the text's own (none: one after another), `end` lies behind."""
        places = range(len(tokens)) if places is None else places
        first, last = len(self.before), len(tokens) if end is None else end
        positions = (
            *range(first),
            *(first + place for place in places),
            *(first + last + place for place in range(len(self.after))),
        )
        return TokenSequence((*self.before, *tokens, *self.after), positions)


@dataclass(frozen=True)
class Piece:
    """A part of a cleaned text, its letters `start` to `end`, and its tokens."""

    start: int
    end: int
    tokens: tuple[int, ...]


@dataclass(frozen=True)
class Word:
    """A word of a cleaned caption: its text, its tag, the tokens made of it."""

    text: str
    tag: str
    tokens: tuple[int, ...]


class Tokens(Protocol):
    """A tokenizer, as far as captions are read with it."""

    @property
    def framing(self) -> Framing: ...

    def clean(self, text: str) -> tuple[str, str]:
        """The text as it is split into tokens, and, for the tagger, with the case that it was written in."""
        ...

    def pieces(self, clean: str) -> list[Piece]:
        """The parts of a cleaned text, in order, no finer than its tokens."""
        ...

    def joined(self, words: Sequence[Word]) -> list[int]:
        """The tokens of some words as a sentence of their own."""
        ...


@dataclass(frozen=True)
class Caption:
    """A caption as the tokenizer cleans it, its words, and the tokenizer."""

    text: str
    words: list[Word]
    tokens: Tokens

    @property
    def framing(self) -> Framing:
        return self.tokens.framing
