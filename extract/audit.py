"""What the strategies make of captions, shown before hours are spent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..pipeline.store.schema import FULL
from .analyse import analyse
from .clip_tokens import CLIP_TOKENS
from .strategies import Reading, check_strategies, read_caption
from .streams import selectors, text_names
from .text_tokens import Tokens
from .words import WordTagger

KEPT, MASKED, PLAIN, NOTE = "kept", "masked", "plain", "note"
"""Kinds of spans: a word of the stream, what is closed to attention or dropped, ordinary text, a remark."""

Span = tuple[str, str]
"""Text and its kind, for the command line to colour."""


@dataclass(frozen=True)
class PreviewLine:
    """One caption by one strategy for one stream; `label` is `strategy/stream`."""

    label: str
    spans: list[Span]

    @property
    def text(self) -> str:
        """The line without colours."""
        return "".join(text for text, _ in self.spans)


@dataclass(frozen=True)
class Preview:
    """A caption, its tagged words, and what each strategy makes of it."""

    caption: str
    tags: list[tuple[str, str]]
    lines: list[PreviewLine]


def preview(
    captions: Sequence[str],
    strategies: Sequence[str],
    streams: dict[str, str],
    tagger: WordTagger,
    n: int = 20,
    tokens: Tokens = CLIP_TOKENS,
) -> list[Preview]:
    """The first `n` distinct captions, spread evenly over the file, as every strategy and stream reads them."""
    check_strategies(strategies)
    chosen = selectors(streams)
    distinct = list(dict.fromkeys(captions))
    count = min(max(n, 0), len(distinct))
    shown = []
    for place in range(count):
        caption = analyse(distinct[place * len(distinct) // count], tagger, tokens)
        lines = [
            _line(strategy, stream, read_caption(caption, strategy, chosen.get(stream)))
            for strategy, stream in text_names(strategies, streams)
            if strategy in strategies
        ]
        shown.append(Preview(caption.text, [(word.text, word.tag) for word in caption.words], lines))
    return shown


def _line(strategy: str, stream: str, reading: Reading) -> PreviewLine:
    spans: list[Span] = []
    for item in reading.sentence.split(" "):
        kind = PLAIN
        if not reading.fell_back and strategy != FULL:
            is_mask = item == "_" or (strategy == "akwe" and not item.startswith("*"))
            kind = MASKED if is_mask else KEPT
        spans += [(" ", PLAIN)] if spans else []
        spans.append((item, kind))
    if reading.fell_back:
        spans.append(("   (no word of the stream: the whole caption)", NOTE))
    if reading.truncated:
        spans.append(("   (too long for CLIP: cut)", NOTE))
    return PreviewLine(f"{strategy}/{stream}", spans)
