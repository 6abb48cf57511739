"""The tokenizers of open_clip's models: CLIP's byte pairs, or one of Hugging Face's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from ..pipeline.errors import CamoeError
from .clip_tokens import BytePairs
from .strategies import read_whole
from .text_tokens import Framing, Piece, Tokens, Word

_MASK = "_"
_PROBE = "a"
_PROBES = ("", "A man's t-shirt isn't red!", "two dogs " * 200)


def open_clip_tokens(tokenizer: Any, clip: str, *, causal: bool) -> Tokens:
    """What an open_clip tokenizer does, word by word; `clip` is how the model was named, `causal` its text tower.

    Raises `CamoeError` where whole captions would not be read exactly as the tokenizer itself reads them.
    """
    tokens = _known(tokenizer, causal)
    if tokens is None or not all(_reads_alike(tokens, tokenizer, text) for text in _PROBES):
        raise CamoeError(
            f"--clip {clip}: its tokenizer ({type(tokenizer).__name__}) frames captions in a way that camoe does not "
            "know; bring the features of this model in by camoe-store import"
        )
    return tokens


def _known(tokenizer: Any, causal: bool) -> Tokens | None:
    if hasattr(tokenizer, "bpe"):
        start, end = (tokenizer.decoder[number] for number in (tokenizer.sot_token_id, tokenizer.eot_token_id))
        clean, context = _before_lower_case(tokenizer), tokenizer.context_length
        return BytePairs(lambda: tokenizer, clean, start=start, end=end, context=context, ends=causal)
    return HuggingFaceTokens(tokenizer) if getattr(tokenizer.tokenizer, "is_fast", False) else None


def _before_lower_case(tokenizer: Any) -> Callable[[str], str]:
    """Its cleaning, but for the case of letters, which a tagger reads."""
    clean: Callable[[str], str] = tokenizer.clean_fn
    return _clean_fn("whitespace") if clean is _clean_fn("lower") else clean


def _clean_fn(name: str) -> Callable[[str], str]:
    from open_clip.tokenizer import get_clean_fn

    found: Callable[[str], str] = get_clean_fn(name)
    return found


def _reads_alike(tokens: Tokens, tokenizer: Any, text: str) -> bool:
    sequence, framing = read_whole(text, tokens), tokens.framing
    row = [*sequence.tokens] + [framing.pad] * (framing.context - len(sequence.tokens))
    return bool(tokenizer([text])[0].tolist() == row)


class HuggingFaceTokens:
    """open_clip's wrapper around a fast tokenizer; cleaning is the wrapper's."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer, self._fast = tokenizer, tokenizer.tokenizer
        self._clean = getattr(tokenizer, "clean_fn", None) or _clean_fn("canonicalize")

    @cached_property
    def framing(self) -> Framing:
        own, whole = self._ids(_PROBE), list(self._fast(_PROBE)["input_ids"])
        first = next(place for place in range(len(whole)) if whole[place : place + len(own)] == own)
        behind = whole[first + len(own) :]
        if getattr(self._tokenizer, "strip_sep_token", False):
            behind = [0 if token == self._fast.sep_token_id else token for token in behind]
        row = self._tokenizer([_PROBE])[0].tolist()
        return Framing(tuple(whole[:first]), tuple(behind), len(row), self._ids(_MASK)[-1], row[-1])

    def clean(self, text: str) -> tuple[str, str]:
        clean = self._clean(text)
        return clean, clean

    def pieces(self, clean: str) -> list[Piece]:
        encoded = self._fast(clean, add_special_tokens=False, return_offsets_mapping=True)
        found = []
        for token, (start, end) in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True):
            start += len(clean[start:end]) - len(clean[start:end].lstrip())
            found.append(Piece(start, end, (token,)))
        return found

    def joined(self, words: Sequence[Word]) -> list[int]:
        return self._ids(" ".join(word.text for word in words))

    def _ids(self, text: str) -> list[int]:
        return list(self._fast(text, add_special_tokens=False)["input_ids"])
