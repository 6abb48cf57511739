"""A caption's words beside the tokens that CLIP's own tokenizer makes of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from .caption_grammar import OTHER
from .clip_parts import clip_tokenizer, tokenizer_module
from .words import WordTagger, word_spans

CONTEXT_LENGTH = 77
"""Tokens that CLIP's text tower can read, the start and the end token included."""

_LONGEST_PIECE = 2560
"""Bytes of one unbroken string that are split into tokens; 75 tokens hold at most 2,400."""


@dataclass(frozen=True)
class Word:
    """A word of a cleaned caption: its text, its tag, the tokens CLIP makes of it."""

    text: str
    tag: str
    tokens: tuple[int, ...]


@dataclass(frozen=True)
class Caption:
    """A caption as CLIP cleans it (lower case), and its words."""

    text: str
    words: list[Word]


def start_token() -> int:
    """The id of CLIP's start token."""
    return int(clip_tokenizer().encoder["<|startoftext|>"])


def end_token() -> int:
    """The id of CLIP's end token, whose output is the sentence's embedding."""
    return int(clip_tokenizer().encoder["<|endoftext|>"])


@lru_cache(maxsize=1 << 16)
def piece_tokens(piece: str) -> tuple[int, ...]:
    """Token ids of one piece of cleaned, lower-case text (a word, a number's digit, a run of punctuation)."""
    tokenizer = clip_tokenizer()
    symbols = "".join(tokenizer.byte_encoder[byte] for byte in piece.encode()[:_LONGEST_PIECE])
    return tuple(tokenizer.encoder[token] for token in tokenizer.bpe(symbols).split(" "))


def analyse(text: str, tagger: WordTagger | None) -> Caption:
    """Clean a caption as CLIP does, split it into words, and give each its tag and tokens.

    A piece of CLIP's belongs to the word in which it begins. An end token written in a caption ends it, as it does for
    CLIP. Without a tagger every tag is `OTHER`.
    """
    cased = _clean(text)
    lower = cased.lower()
    spans = word_spans(lower)
    written = cased if len(cased) == len(lower) else lower
    tags = tagger.tag([written[start:end] for start, end in spans]) if tagger else [OTHER] * len(spans)
    pieces: list[list[Any]] = [[] for _ in spans]
    place = 0
    for match in clip_tokenizer().pat.finditer(lower):
        if match.group() == "<|endoftext|>":
            break
        while match.start() >= spans[place][1]:
            place += 1
        pieces[place].append(match)
    words = [
        Word(
            lower[inside[0].start() : inside[-1].end()], tag, tuple(t for m in inside for t in piece_tokens(m.group()))
        )
        for tag, inside in zip(tags, pieces, strict=True)
        if inside
    ]
    return Caption(lower, words)


def _clean(text: str) -> str:
    module = tokenizer_module()
    return module.whitespace_clean(module.basic_clean(text))
