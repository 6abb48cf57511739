"""Stage 1, captions: every strategy and stream, each distinct sentence encoded once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from ..pipeline.store import Captions, Shard, StoreSettings, TextTable, TokenTable
from ..pipeline.store.build import StoreBuilder
from ..pipeline.store.info import size_text
from ..pipeline.store.schema import FULL, FUSION, WORD_TOKENS, CaptionKey, Removed, TextName
from .clip_tokens import CLIP_TOKENS
from .encoder import Encoder
from .readings import Readings, build_texts
from .strategies import read_whole
from .text_tokens import Tokens
from .tokens import TokenSequence
from .words import WordTagger

_SAMPLE = 1000
_REMEMBERED = 500_000
"""Sentences whose embeddings are held in case they recur in a later piece: half a gigabyte where D is 512."""


@dataclass(frozen=True)
class TextPlan:
    """What is made of each caption: the strategies, the streams' definitions and the tagger."""

    strategies: tuple[str, ...]
    streams: dict[str, str]
    tagger: WordTagger
    workers: int


@dataclass(frozen=True)
class TextWork:
    """Rows of `captions` of which the store lacks the texts `names`; `removed` are captions that these replace.

    `WORD_TOKENS` among the `names` are the word tokens. Without `names` only the captions' subsets are told anew.
    """

    captions: Captions
    names: tuple[TextName, ...]
    removed: tuple[CaptionKey, ...] = ()


def extract_texts(
    work: Sequence[TextWork],
    plan: TextPlan,
    *,
    encoder: Encoder,
    builder: StoreBuilder,
    settings: StoreSettings,
    on_progress: Callable[[int], None] = lambda captions: None,
) -> int:
    """Publish a shard for each piece of `work`; returns how many sentences were encoded.

    Sentences that the store has, or that recur soon, are copied. One that recurs late is encoded again, to the same
    bits, so that memory does not grow with the captions.
    """
    known: dict[TokenSequence, np.ndarray] = {}
    encoded = 0
    for piece in work:
        readings = _readings(piece, plan, encoder)
        words = readings.pop(WORD_TOKENS, None)
        for name, reading in readings.items():
            _copy_known(name, reading, known, builder)
        tokens = None
        if words is not None:
            tokens, new = _word_tokens(words, known, encoder, builder)
            encoded += new
        encoded += _encode_new(readings, known, encoder)
        builder.publish(replace(_shard(piece, readings, known, settings), tokens=tokens))
        _forget_oldest(known)
        on_progress(len(piece.captions.id))
    return encoded


def _forget_oldest(known: dict[TokenSequence, np.ndarray]) -> None:
    for sequence in [*islice(known, max(0, len(known) - _REMEMBERED))]:
        del known[sequence]


def _readings(piece: TextWork, plan: TextPlan, encoder: Encoder) -> dict[TextName, Readings]:
    if not piece.names or not piece.captions.id:
        return {}
    found = build_texts(piece.captions.text, plan.strategies, plan.streams, plan.tagger, plan.workers, encoder.tokens)
    found[WORD_TOKENS] = found[FULL, FUSION]
    return {name: found[name] for name in piece.names}


def _copy_known(
    name: TextName, reading: Readings, known: dict[TokenSequence, np.ndarray], builder: StoreBuilder
) -> None:
    """Sentences keep the embeddings that the store has of them, to the bit."""
    if builder.store is None:
        return
    sequence_of = dict(zip(reading.sentence, reading.sequence, strict=True))
    for sentence, embedding in builder.store.find_sentences(name, sequence_of).items():
        known[sequence_of[sentence]] = embedding


def _word_tokens(
    reading: Readings, known: dict[TokenSequence, np.ndarray], encoder: Encoder, builder: StoreBuilder
) -> tuple[TokenTable, int]:
    """The word tokens of whole captions, and how many were encoded.

    Captions keep the tokens that the store has of them, to the bit. The last tokens of others, which are their
    embeddings, are `known` then.
    """
    there = builder.store.find_tokens(set(reading.sentence)) if builder.store is not None else {}
    new = [row for row, sentence in enumerate(reading.sentence) if sentence not in there]
    lengths = np.array([len(sequence.tokens) for sequence in reading.sequence], np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    values = np.empty((int(offsets[-1]), encoder.embed_dim), np.float16)
    for row, sentence in enumerate(reading.sentence):
        if sentence in there:
            values[offsets[row] : offsets[row + 1]] = there[sentence]
    for place, words in encoder.encode_words([reading.sequence[row] for row in new]):
        row = new[place]
        values[offsets[row] : offsets[row + 1]] = words.numpy()
        known.setdefault(reading.sequence[row], values[offsets[row + 1] - 1].copy())
    return TokenTable(reading.sentence, offsets, values, reading.row), len(new)


def describe_size(work: Sequence[TextWork], width: int, tokens: Tokens = CLIP_TOKENS) -> str | None:
    """How large the word tokens of some work will be, in words; none where there are none.

    The length of captions is that of a thousand of them, spread over all.
    """
    captions = list(dict.fromkeys(t for piece in work if WORD_TOKENS in piece.names for t in piece.captions.text))
    if not captions:
        return None
    sample = captions[:: -(-len(captions) // _SAMPLE)]
    count = sum(len(read_whole(text, tokens).tokens) for text in sample)
    size = size_text(round(2 * width * count / len(sample) * len(captions)))
    return f"word tokens: about {size} for {len(captions):,} distinct captions"


def _encode_new(readings: dict[TextName, Readings], known: dict[TokenSequence, np.ndarray], encoder: Encoder) -> int:
    new = list(
        dict.fromkeys(
            sequence for reading in readings.values() for sequence in reading.sequence if sequence not in known
        )
    )
    if new:
        embeddings = encoder.encode_tokens(new).numpy().astype(np.float16)
        known.update(zip(new, embeddings, strict=True))
    return len(new)


def _shard(
    piece: TextWork,
    readings: dict[TextName, Readings],
    known: dict[TokenSequence, np.ndarray],
    settings: StoreSettings,
) -> Shard:
    return Shard(
        settings,
        captions=piece.captions,
        texts={
            name: TextTable(reading.sentence, np.stack([known[sequence] for sequence in reading.sequence]), reading.row)
            for name, reading in readings.items()
        },
        text_notes={"/".join(name): reading.notes for name, reading in readings.items()},
        removed=Removed(captions=piece.removed),
    )
