"""Captions -> what the text tower reads, for each strategy and stream.

A *stream* chooses words (by tag or from a list), a *strategy* says what becomes of the others:

    full        the whole caption
    rkw         remaining key words: the kept words, in order, as a sentence
    akwe        average key-word embedding: the whole caption is read, the kept words' outputs are averaged
    muw         mask unimportant words: the kept words stay at their positions, the others are closed to attention
    muw-token   a filler token stands at the places of the others

Leaving tokens out while the rest keep their position embeddings is the same as closing attention to them: causal
attention then sees the same keys, and no output of a closed token is read. The end token stays at its place, too.
A caption without a word of the stream is read whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from typing import Any

import numpy as np

from ..pipeline.errors import CamoeError
from ..pipeline.store.notes import merge_notes
from .clip_tokens import CONTEXT_LENGTH, Caption, Word, analyse, end_token, piece_tokens, start_token
from .processes import in_processes
from .tokens import TokenSequence
from .wordlist import WordList, load_word_list
from .words import TAGS, WordTagger

MASK = "_"
FUSION, FULL = "fusion", "full"
DEFAULT_STREAMS = {FUSION: "everything", "entity": "NOUN", "action": "VERB"}

Selector = Callable[[Caption], list[bool]]
"""Which words of a caption belong to a stream."""


@dataclass(frozen=True)
class Reading:
    """One caption as one strategy reads it for one stream.

    Equal `sentence`s of a strategy and stream have equal `sequence`s. `fell_back`: no word of the stream, so the whole
    caption is read. `truncated`: it does not fit into 77 tokens, so something was left out.
    """

    sentence: str
    sequence: TokenSequence
    kept_words: tuple[str, ...]
    fell_back: bool
    truncated: bool


@dataclass(frozen=True)
class Readings:
    """`M` captions by one strategy for one stream: `U` distinct sentences; `row (M,)` int64 indexes them."""

    sentence: list[str]
    sequence: list[TokenSequence]
    row: np.ndarray
    notes: dict[str, Any]


# --- streams


def parse_streams(specs: Sequence[str] = ()) -> dict[str, str]:
    """The streams of `NAME=TAG,TAG`, `NAME=@wordlist.txt` or `NAME=@scene`, after the defaults; later ones redefine.

    Raises `CamoeError` for an unknown tag, a malformed specification or a list that cannot be read.
    """
    streams = dict(DEFAULT_STREAMS)
    for spec in specs:
        name, _, definition = (part.strip() for part in spec.partition("="))
        if not name or not definition or not all(letter.isalnum() or letter in "-_" for letter in name):
            raise CamoeError(f"--stream {spec!r} is not NAME=TAG,TAG or NAME=@wordlist.txt (tags: {', '.join(TAGS)})")
        if name == FUSION:
            raise CamoeError("--stream fusion=… cannot be redefined: the fusion stream is the whole caption")
        if not definition.startswith("@"):
            definition = ",".join(dict.fromkeys(part.strip().upper() for part in definition.split(",")))
        streams[name] = definition
        _selector(definition, name)
    return streams


def describe_streams(streams: dict[str, str]) -> dict[str, str]:
    """What a store records: as given, and word lists by file name and SHA-256, so that a changed list is noticed."""
    described = {}
    for name, definition in streams.items():
        if definition.startswith("@"):
            words = load_word_list(definition[1:])
            definition = f"@{words.name} sha256:{words.sha256[:16]}"
        described[name] = definition
    return described


def selectors(streams: dict[str, str]) -> dict[str, Selector]:
    """For each stream but fusion, the function that tells which words of a caption belong to it."""
    return {name: _selector(definition, name) for name, definition in streams.items() if name != FUSION}


def _selector(definition: str, name: str) -> Selector:
    """Which words of a caption belong to the stream."""
    if definition.startswith("@"):
        return partial(_listed, load_word_list(definition[1:]))
    tags = frozenset(definition.split(","))
    if not tags <= set(TAGS):
        unknown = ", ".join(sorted(tags - set(TAGS)))
        raise CamoeError(
            f"stream {name} names the tag {unknown}; choose from {', '.join(TAGS)} or write {name}=@wordlist.txt"
        )
    return lambda caption: [word.tag in tags for word in caption.words]


def _listed(words: WordList, caption: Caption) -> list[bool]:
    return words.matches([word.text for word in caption.words])


# --- strategies


def _full(caption: Caption, keep: list[bool]) -> tuple[str, TokenSequence, bool]:
    tokens = [token for word in caption.words for token in word.tokens]
    cut = tokens[: CONTEXT_LENGTH - 2]
    return caption.text, _sequence(cut, range(1, len(cut) + 1), len(cut) + 1), len(cut) < len(tokens)


def _rkw(caption: Caption, keep: list[bool]) -> tuple[str, TokenSequence, bool]:
    kept = Caption("", [word for word, kept in zip(caption.words, keep, strict=True) if kept])
    _, sequence, truncated = _full(kept, [])
    return " ".join(word.text for word in kept.words), sequence, truncated


def _akwe(caption: Caption, keep: list[bool]) -> tuple[str, TokenSequence, bool]:
    words, keep, truncated = _fit(caption.words, keep)
    _, sequence, _ = _full(Caption("", words), [])
    flags = [kept for word, kept in zip(words, keep, strict=True) for _ in word.tokens]
    pooled = tuple(place for place, kept in enumerate(flags[: CONTEXT_LENGTH - 2], start=1) if kept)
    sentence = " ".join(
        f"*{_escape(word.text)}*" if kept else _escape(word.text) for word, kept in zip(words, keep, strict=True)
    )
    return sentence, TokenSequence(sequence.tokens, sequence.positions, pooled), truncated


def _muw(caption: Caption, keep: list[bool]) -> tuple[str, TokenSequence, bool]:
    words, keep, truncated = _fit(caption.words, keep)
    tokens: list[int] = []
    positions: list[int] = []
    place = 1
    for word, kept in zip(words, keep, strict=True):
        if kept:
            tokens.extend(word.tokens)
            positions.extend(range(place, place + len(word.tokens)))
        place += len(word.tokens)
    limit = CONTEXT_LENGTH - 2
    return _masked(words, keep), _sequence(tokens[:limit], positions[:limit], min(place, limit + 1)), truncated


def _muw_token(caption: Caption, keep: list[bool]) -> tuple[str, TokenSequence, bool]:
    words, keep, truncated = _fit(caption.words, keep)
    filler = piece_tokens(MASK)[0]
    tokens = [
        token
        for word, kept in zip(words, keep, strict=True)
        for token in (word.tokens if kept else repeat(filler, len(word.tokens)))
    ][: CONTEXT_LENGTH - 2]
    return _masked(words, keep), _sequence(tokens, range(1, len(tokens) + 1), len(tokens) + 1), truncated


STRATEGIES: dict[str, Callable[[Caption, list[bool]], tuple[str, TokenSequence, bool]]] = {
    "full": _full,
    "rkw": _rkw,
    "akwe": _akwe,
    "muw": _muw,
    "muw-token": _muw_token,
}


def check_strategies(names: Sequence[str]) -> None:
    """Raises `CamoeError` naming a strategy that does not exist."""
    for name in names:
        if name not in STRATEGIES:
            raise CamoeError(f"strategy {name!r} does not exist; choose from {', '.join(STRATEGIES)}")


def _fit(words: list[Word], keep: list[bool]) -> tuple[list[Word], list[bool], bool]:
    """Words and flags that fit CLIP's limit: unimportant words give up their places, the last ones first."""
    excess = sum(len(word.tokens) for word in words) - (CONTEXT_LENGTH - 2)
    if excess <= 0:
        return words, keep, False
    left = list(zip(words, keep, strict=True))
    for place in range(len(left) - 1, -1, -1):
        if excess > 0 and not left[place][1]:
            excess -= len(left.pop(place)[0].tokens)
    return [word for word, _ in left], [kept for _, kept in left], True


def _sequence(tokens: Sequence[int], positions: Sequence[int], end: int) -> TokenSequence:
    """Start token, tokens, end token at position `end`."""
    return TokenSequence((start_token(), *tokens, end_token()), (0, *positions, end))


def _masked(words: list[Word], keep: list[bool]) -> str:
    """`_ man _ _ _ horse`: one `_` for each token that is not read, so that the sentence tells the positions."""
    return " ".join(
        _escape(word.text) if kept else " ".join(repeat(MASK, len(word.tokens)))
        for word, kept in zip(words, keep, strict=True)
    )


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("_", "\\_").replace("*", "\\*")


# --- captions


def read_caption(caption: Caption, strategy: str, selector: Selector | None) -> Reading:
    """What `strategy` makes of a caption; `selector` chooses the stream's words, `None` is the whole caption."""
    keep = selector(caption) if selector else [True] * len(caption.words)
    fell_back = strategy != FULL and not any(keep)
    if fell_back or strategy == FULL:
        keep = [True] * len(caption.words)
    sentence, sequence, truncated = STRATEGIES[FULL if fell_back else strategy](caption, keep)
    if fell_back and strategy != "rkw":
        sentence = _escape(sentence)
    kept = (
        ()
        if fell_back or strategy == FULL
        else tuple(word.text for word, flag in zip(caption.words, keep, strict=True) if flag)
    )
    return Reading(sentence, sequence, kept, fell_back, truncated)


def build_texts(
    captions: Sequence[str],
    strategies: Sequence[str],
    streams: dict[str, str],
    tagger: WordTagger | None,
    workers: int = 1,
) -> dict[tuple[str, str], Readings]:
    """Readings of `M` captions per (strategy, stream): always `("full", "fusion")`; the other strategies for each
    stream but fusion.

    Distinct sentences are in the order of their first caption. `tagger` may be `None` if every strategy is `full`.
    """
    check_strategies(strategies)
    chosen = selectors(streams)
    wanted: dict[tuple[str, str], Selector | None] = {(FULL, FUSION): None}
    for strategy in strategies:
        if strategy != FULL:
            wanted |= {(strategy, stream): selector for stream, selector in chosen.items()}
    only_whole = len(wanted) == 1
    read = partial(_read_chunk, wanted=wanted, tagger=None if only_whole else tagger)
    chunks = [captions[start : start + _CHUNK] for start in range(0, len(captions), _CHUNK)]
    end_token()  # loads the tokenizer here, not once in every process
    builders = {name: _Builder() for name in wanted}
    for part in in_processes(read, chunks, workers if len(captions) >= _WORTH_PROCESSES else 1):
        for name, readings in part.items():
            builders[name].add(readings)
    return {name: builder.finish() for name, builder in builders.items()}


_CHUNK = 1000
_WORTH_PROCESSES = 4000
"""Captions below which starting processes costs more than it saves."""


class _Builder:
    """Collects readings part by part, each distinct sentence once."""

    def __init__(self) -> None:
        self._index: dict[str, int] = {}
        self._sequences: list[TokenSequence] = []
        self._rows: list[np.ndarray] = []
        self._notes: list[dict[str, Any]] = []

    def add(self, part: Readings) -> None:
        new_row = np.empty(len(part.sentence), dtype=np.int64)
        for place, (sentence, sequence) in enumerate(zip(part.sentence, part.sequence, strict=True)):
            row = self._index.setdefault(sentence, len(self._sequences))
            if row == len(self._sequences):
                self._sequences.append(sequence)
            new_row[place] = row
        self._rows.append(new_row[part.row])
        self._notes.append(part.notes)

    def finish(self) -> Readings:
        rows = np.concatenate(self._rows) if self._rows else np.empty(0, dtype=np.int64)
        return Readings(list(self._index), self._sequences, rows, merge_notes(self._notes))


def _read_chunk(
    texts: Sequence[str],
    wanted: dict[tuple[str, str], Selector | None],
    tagger: WordTagger | None,
) -> dict[tuple[str, str], Readings]:
    analysed = {text: analyse(text, tagger) for text in dict.fromkeys(texts)}
    return {
        (strategy, stream): _gather([analysed[text] for text in texts], strategy, selector)
        for (strategy, stream), selector in wanted.items()
    }


def _gather(captions: list[Caption], strategy: str, selector: Selector | None) -> Readings:
    index: dict[str, int] = {}
    sequences: list[TokenSequence] = []
    rows, words, fell_back, truncated = [], Counter[str](), 0, 0
    for caption in captions:
        reading = read_caption(caption, strategy, selector)
        row = index.setdefault(reading.sentence, len(sequences))
        if row == len(sequences):
            sequences.append(reading.sequence)
        rows.append(row)
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
    return Readings(list(index), sequences, np.array(rows, dtype=np.int64), notes)
