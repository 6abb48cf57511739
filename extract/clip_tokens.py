"""The byte pairs of CLIP's tokenizer, OpenAI's and open_clip's copy of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, cached_property, lru_cache
from typing import Any

from .clip_parts import clip_tokenizer, tokenizer_module
from .text_tokens import Framing, Piece, Word

CONTEXT_LENGTH = 77
"""Tokens that CLIP's text tower can read, the start and the end token included."""

_MASK = "_"
_LONGEST_PIECE = 2560
"""Bytes of one unbroken string that are split into tokens; 75 tokens hold at most 2,400."""


class BytePairs:
    """`load` gives the tokenizer when it is first needed, `clean` a text as it is split, but for its case.

    `start` and `end` are the names of the tokens around a text. An end token written in a text ends it where it does so
    for the tower (`ends`): a causal one, which is read at the first.
    """

    def __init__(
        self,
        load: Callable[[], Any],
        clean: Callable[[str], str],
        *,
        start: str,
        end: str,
        context: int,
        ends: bool = True,
    ) -> None:
        self._load, self._clean, self._start, self._end, self._context = load, clean, start, end, context
        self._ends = ends
        self.tokens_of = lru_cache(maxsize=1 << 16)(self._tokens_of)

    @cached_property
    def _tokenizer(self) -> Any:
        return self._load()

    @cached_property
    def framing(self) -> Framing:
        start, end = (int(self._tokenizer.encoder[name]) for name in (self._start, self._end))
        return Framing((start,), (end,), self._context, self.tokens_of(_MASK)[0])

    def clean(self, text: str) -> tuple[str, str]:
        cased = self._clean(text)
        lower = cased.lower()
        return lower, cased if len(cased) == len(lower) else lower

    def pieces(self, clean: str) -> list[Piece]:
        found = []
        for match in self._tokenizer.pat.finditer(clean):
            if self._ends and match.group() == self._end:
                break
            found.append(Piece(match.start(), match.end(), self.tokens_of(match.group())))
        return found

    def joined(self, words: Sequence[Word]) -> list[int]:
        return [token for word in words for token in word.tokens]

    def _tokens_of(self, piece: str) -> tuple[int, ...]:
        """Token ids of one piece of cleaned, lower-case text (a word, a number's digit, a run of punctuation)."""
        tokenizer = self._tokenizer
        symbols = "".join(tokenizer.byte_encoder[byte] for byte in piece.encode()[:_LONGEST_PIECE])
        return tuple(tokenizer.encoder[token] for token in tokenizer.bpe(symbols).split(" "))


def _clean(text: str) -> str:
    module = tokenizer_module()
    return str(module.whitespace_clean(module.basic_clean(text)))


@cache
def clip_tokens(context: int) -> BytePairs:
    """OpenAI's tokenizer for a tower that reads so many tokens."""
    return BytePairs(clip_tokenizer, _clean, start="<|startoftext|>", end="<|endoftext|>", context=context)


CLIP_TOKENS = clip_tokens(CONTEXT_LENGTH)
