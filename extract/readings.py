"""Captions as every strategy and stream reads them, each distinct sentence once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ..pipeline.store.notes import merge_notes
from ..pipeline.store.schema import FULL, TextName
from .analyse import analyse
from .clip_tokens import CLIP_TOKENS
from .processes import in_processes
from .strategies import check_strategies, read_caption
from .streams import Selector, selectors, text_names
from .text_tokens import Caption, Tokens
from .tokens import TokenSequence
from .words import WordTagger

_CHUNK = 1000
_WORTH_PROCESSES = 4000
"""Captions below which starting processes costs more than it saves."""


@dataclass(frozen=True)
class Readings:
    """`M` captions by one strategy for one stream: `U` distinct sentences; `row (M,)` int64 indexes them."""

    sentence: list[str]
    sequence: list[TokenSequence]
    row: np.ndarray
    notes: dict[str, Any]


def build_texts(
    captions: Sequence[str],
    strategies: Sequence[str],
    streams: dict[str, str],
    tagger: WordTagger | None,
    workers: int = 1,
    tokens: Tokens = CLIP_TOKENS,
) -> dict[tuple[str, str], Readings]:
    """Readings of `M` captions per (strategy, stream): always `("full", "fusion")`; the other strategies for each
    stream but fusion.

    Distinct sentences are in the order of their first caption. `tagger` may be `None` if every strategy is `full`.
    """
    check_strategies(strategies)
    chosen = selectors(streams)
    wanted = {name: chosen.get(name[1]) for name in text_names(strategies, streams)}
    is_tagged = any(strategy != FULL for strategy, _ in wanted)
    read = partial(_read_chunk, wanted=wanted, tagger=tagger if is_tagged else None, tokens=tokens)
    chunks = [captions[start : start + _CHUNK] for start in range(0, len(captions), _CHUNK)]
    _ = tokens.framing  # loads the tokenizer here, not once in every process
    joined = {name: _Joined() for name in wanted}
    for part in in_processes(read, chunks, workers if len(captions) >= _WORTH_PROCESSES else 1):
        for name, readings in part.items():
            joined[name].add(readings)
    return {name: parts.finish() for name, parts in joined.items()}


class _Distinct:
    """Sentences and their sequences, each once, in the order of their first caption."""

    def __init__(self) -> None:
        self._row_of: dict[str, int] = {}
        self.sequences: list[TokenSequence] = []

    @property
    def sentences(self) -> list[str]:
        return list(self._row_of)

    def row(self, sentence: str, sequence: TokenSequence) -> int:
        """The row of a sentence; a new one is added."""
        row = self._row_of.setdefault(sentence, len(self.sequences))
        if row == len(self.sequences):
            self.sequences.append(sequence)
        return row


class _Joined:
    """The readings of all chunks as one."""

    def __init__(self) -> None:
        self._distinct = _Distinct()
        self._rows: list[np.ndarray] = []
        self._notes: list[dict[str, Any]] = []

    def add(self, part: Readings) -> None:
        new_row = [self._distinct.row(*both) for both in zip(part.sentence, part.sequence, strict=True)]
        self._rows.append(np.array(new_row, dtype=np.int64)[part.row])
        self._notes.append(part.notes)

    def finish(self) -> Readings:
        rows = np.concatenate(self._rows) if self._rows else np.empty(0, dtype=np.int64)
        return Readings(self._distinct.sentences, self._distinct.sequences, rows, merge_notes(self._notes))


def _read_chunk(
    texts: Sequence[str], wanted: dict[TextName, Selector | None], tagger: WordTagger | None, tokens: Tokens
) -> dict[TextName, Readings]:
    analysed = {text: analyse(text, tagger, tokens) for text in dict.fromkeys(texts)}
    captions = [analysed[text] for text in texts]
    return {(strategy, stream): _read(captions, strategy, selector) for (strategy, stream), selector in wanted.items()}


def _read(captions: list[Caption], strategy: str, selector: Selector | None) -> Readings:
    """Captions by one strategy for one stream, and what the audit counts of them."""
    distinct = _Distinct()
    rows, words, fell_back, truncated = [], Counter[str](), 0, 0
    for caption in captions:
        reading = read_caption(caption, strategy, selector)
        rows.append(distinct.row(reading.sentence, reading.sequence))
        words.update(reading.kept_words)
        fell_back += reading.fell_back
        truncated += reading.truncated
    notes = {
        "captions": len(captions),
        "fell_back": fell_back,
        "truncated": truncated,
        "kept_words": words.total(),
        "top_words": dict(words),
    }
    return Readings(distinct.sentences, distinct.sequences, np.array(rows, dtype=np.int64), notes)
