"""Captions as the `tiny` CLIP's training sees them: compact token ids with positions, so that words can be dropped."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from clip.simple_tokenizer import SimpleTokenizer

from ...pipeline.demo.captions import PLACES, VERBS
from ...pipeline.demo.world import SHAPES

START, END = 49406, 49407
NOUNS = frozenset(SHAPES) | {noun for nouns in PLACES.values() for noun in nouns} | {"left", "right"}
ACTION_VERBS = frozenset(word for verbs in VERBS.values() for pair in verbs for word in pair)
OTHER, NOUN, VERB, EDGE = range(4)


@dataclass(frozen=True)
class Sentences:
    """Tokenised captions: compact `ids`, `kind` (OTHER, NOUN, VERB, EDGE) and `word` number, each (N, L) int64;
    `kind` is -1 past the end. `vocabulary` (V,) holds CLIP's token id of each compact id, ascending."""

    ids: np.ndarray
    kind: np.ndarray
    word: np.ndarray
    vocabulary: np.ndarray


@cache
def _tokenizer() -> SimpleTokenizer:
    return SimpleTokenizer()


def tokenise(captions: list[str], length: int) -> Sentences:
    """Splits lower-case captions into CLIP's tokens, padded to `length`; raises ValueError where one is longer."""
    pieces: dict[str, tuple[list[int], int]] = {}
    rows = {caption: _tokenise_one(caption, pieces, length) for caption in dict.fromkeys(captions)}
    full, kind, word = np.array([rows[caption] for caption in captions], np.int64).transpose(1, 0, 2)
    vocabulary = np.unique(full[kind >= 0])
    return Sentences(np.searchsorted(vocabulary, full) * (kind >= 0), kind, word, vocabulary)


def _tokenise_one(
    caption: str, pieces: dict[str, tuple[list[int], int]], length: int
) -> tuple[list[int], list[int], list[int]]:
    """Token ids, kinds and word numbers of one caption, `length` each; `pieces` remembers words."""
    tokens, kinds, numbers = [START], [EDGE], [0]
    for number, text in enumerate(caption.split(), start=1):
        if text not in pieces:
            kind = NOUN if text in NOUNS else VERB if text in ACTION_VERBS else OTHER
            pieces[text] = _tokenizer().encode(text), kind
        ids, kind = pieces[text]
        tokens += ids
        kinds += [kind] * len(ids)
        numbers += [number] * len(ids)
    free = length - len(tokens) - 1
    if free < 0:
        raise ValueError(f"the caption {caption!r} has {len(tokens) + 1} tokens; at most {length} fit")
    return [*tokens, END] + [0] * free, [*kinds, EDGE] + [-1] * free, [*numbers, 0] + [0] * free


def drop_words(
    ids: np.ndarray, kind: np.ndarray, word: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Compact ids and positions (B, L) of what is kept of each caption, moved to the front.

    60 % of the captions stay whole, 14 % keep their nouns, 14 % their verbs, 12 % a random part of their words: what
    CLIP's text encoder sees when the other words are closed to attention.
    """
    rows, length = ids.shape
    fate = rng.random((rows, 1))
    chance = rng.random((rows, length + 1)) < rng.uniform(0.3, 0.9, (rows, 1))
    by_chance = np.take_along_axis(chance, word, axis=1)
    keep = np.where(
        fate < 0.6, True, np.where(fate < 0.74, kind == NOUN, np.where(fate < 0.88, kind == VERB, by_chance))
    )
    keep |= ~(keep & (kind < EDGE) & (kind >= 0)).any(axis=1, keepdims=True)
    keep = (keep | (kind == EDGE)) & (kind >= 0)
    order = np.argsort(~keep, axis=1, kind="stable")
    longest = int(keep.sum(axis=1).max())
    kept = np.take_along_axis(keep, order, axis=1)[:, :longest]
    return np.take_along_axis(ids, order, axis=1)[:, :longest] * kept, order[:, :longest] * kept
