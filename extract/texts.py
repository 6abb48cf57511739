"""Stage 1, captions: every strategy and stream, each distinct sentence encoded once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..pipeline.store import Captions, Shard, StoreSettings, TextTable
from ..pipeline.store.build import StoreBuilder
from ..pipeline.store.schema import CaptionKey, Removed, TextName
from .clip_encoder import ClipEncoder
from .streams import Readings, build_texts
from .tokens import TokenSequence
from .words import WordTagger


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

    Without `names` only the captions' subsets are told anew.
    """

    captions: Captions
    names: tuple[TextName, ...]
    removed: tuple[CaptionKey, ...] = ()


def extract_texts(
    work: Sequence[TextWork],
    plan: TextPlan,
    *,
    encoder: ClipEncoder,
    builder: StoreBuilder,
    settings: StoreSettings,
    on_progress: Callable[[int], None] = lambda captions: None,
) -> int:
    """Publish a shard for each piece of `work`; returns how many sentences were encoded.

    Sentences that the store has, or that recur, are copied.
    """
    known: dict[TokenSequence, np.ndarray] = {}
    encoded = 0
    for piece in work:
        readings = _readings(piece, plan)
        for name, reading in readings.items():
            _copy_known(name, reading, known, builder)
        encoded += _encode_new(readings, known, encoder)
        builder.publish(_shard(piece, readings, known, settings))
        on_progress(len(piece.captions.id))
    return encoded


def _readings(piece: TextWork, plan: TextPlan) -> dict[TextName, Readings]:
    if not piece.names or not piece.captions.id:
        return {}
    found = build_texts(piece.captions.text, plan.strategies, plan.streams, plan.tagger, plan.workers)
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


def _encode_new(
    readings: dict[TextName, Readings], known: dict[TokenSequence, np.ndarray], encoder: ClipEncoder
) -> int:
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
