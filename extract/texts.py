"""Stage 1, captions: every strategy and stream, each distinct sentence encoded once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..pipeline.store import Captions, Shard, StoreSettings, TextTable
from ..pipeline.store.build import StoreBuilder
from ..pipeline.store.schema import TextName
from .clip_encoder import ClipEncoder
from .datasets import CaptionSet
from .readings import Readings, build_texts
from .tokens import TokenSequence
from .words import WordTagger


@dataclass(frozen=True)
class TextPlan:
    """What is made of each caption: the strategies, the streams' definitions and the tagger."""

    strategies: tuple[str, ...]
    streams: dict[str, str]
    tagger: WordTagger
    workers: int


PendingCaptions = list[tuple[tuple[TextName, ...], list[int]]]
"""Rows of captions, grouped by the texts that the store lacks of them."""


def extract_texts(
    captions: CaptionSet,
    pending: PendingCaptions,
    plan: TextPlan,
    *,
    encoder: ClipEncoder,
    builder: StoreBuilder,
    settings: StoreSettings,
    captions_per_shard: int,
    on_progress: Callable[[int], None] = lambda captions: None,
) -> int:
    """Add the `pending` texts of the captions; returns how many sentences were encoded.

    A shard is published for every `captions_per_shard` captions. Sentences that recur in a later shard are copied
    from memory.
    """
    known: dict[TokenSequence, np.ndarray] = {}
    for lacking, rows in pending:
        for start in range(0, len(rows), captions_per_shard):
            part = rows[start : start + captions_per_shard]
            readings = build_texts(
                [captions.text[row] for row in part], plan.strategies, plan.streams, plan.tagger, plan.workers
            )
            wanted = {name: readings[name] for name in lacking}
            _encode_new(wanted, known, encoder)
            builder.publish(_shard(captions, part, wanted, known, settings))
            on_progress(len(part))
    return len(known)


def pending_captions(captions: CaptionSet, names: Sequence[TextName], builder: StoreBuilder) -> PendingCaptions:
    """The captions of which the store lacks some of the texts `names`."""
    groups: dict[tuple[TextName, ...], list[int]] = {}
    for row, caption in enumerate(zip(captions.video_id, captions.caption_id, strict=True)):
        lacking = tuple(name for name in names if not builder.has_texts(name, caption))
        if lacking:
            groups.setdefault(lacking, []).append(row)
    return list(groups.items())


def _encode_new(
    readings: dict[TextName, Readings], known: dict[TokenSequence, np.ndarray], encoder: ClipEncoder
) -> None:
    new = list(
        dict.fromkeys(
            sequence for reading in readings.values() for sequence in reading.sequence if sequence not in known
        )
    )
    embeddings = encoder.encode_tokens(new).numpy().astype(np.float16)
    known.update(zip(new, embeddings, strict=True))


def _shard(
    captions: CaptionSet,
    rows: list[int],
    readings: dict[TextName, Readings],
    known: dict[TokenSequence, np.ndarray],
    settings: StoreSettings,
) -> Shard:
    return Shard(
        settings,
        captions=Captions(
            id=[captions.caption_id[row] for row in rows],
            video_id=[captions.video_id[row] for row in rows],
            text=[captions.text[row] for row in rows],
            protocols={name: codes[rows] for name, codes in captions.protocols.items()},
            shortfall=captions.shortfall,
        ),
        texts={
            name: TextTable(reading.sentence, np.stack([known[sequence] for sequence in reading.sequence]), reading.row)
            for name, reading in readings.items()
        },
        text_notes={"/".join(name): reading.notes for name, reading in readings.items()},
    )
