"""What the strategies make of captions, shown before hours are spent, and the counts a store keeps of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .clip_tokens import Caption, analyse
from .streams import FULL, FUSION, Reading, check_strategies, read_caption, selectors
from .words import WordTagger

KEPT, MASKED, PLAIN, NOTE = "kept", "masked", "plain", "note"
"""Kinds of spans: a word of the stream, what is closed to attention or dropped, ordinary text, a remark."""

Span = tuple[str, str]
"""Text and its kind, for the command line to colour."""

_TOP = 10


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
    captions: Sequence[str], strategies: Sequence[str], streams: dict[str, str], tagger: WordTagger, n: int = 20
) -> list[Preview]:
    """The first `n` distinct captions, spread evenly over the file, as every strategy and stream reads them."""
    check_strategies(strategies)
    chosen = selectors(streams)
    distinct = list(dict.fromkeys(captions))
    count = min(max(n, 0), len(distinct))
    shown = []
    for place in range(count):
        caption = analyse(distinct[place * len(distinct) // count], tagger)
        lines = [
            _line(strategy, stream, read_caption(caption, strategy, selector), caption)
            for strategy in strategies
            for stream, selector in (chosen.items() if strategy != FULL else [(FUSION, None)])
        ]
        shown.append(Preview(caption.text, [(word.text, word.tag) for word in caption.words], lines))
    return shown


def _line(strategy: str, stream: str, reading: Reading, caption: Caption) -> PreviewLine:
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


def notes_lines(notes: dict[str, dict[str, Any]]) -> list[str]:
    """The audit of a store, per `strategy/stream`, as lines of a table.

    Each entry of `notes` holds `captions`, `fell_back`, `truncated`, `kept_words` (counts) and `top_words`.
    """
    if not notes:
        return []
    width = max(map(len, notes))
    head = f"{'texts':<{width}}  captions  kept words  whole caption  too long  most frequent"
    return [head, *(_notes_line(name, note, width) for name, note in notes.items())]


def _notes_line(name: str, note: dict[str, Any], width: int) -> str:
    captions = max(1, note["captions"])
    if name.startswith(f"{FULL}/"):
        kept, fell_back = f"{'all':>10}", f"{'':>13}"
    else:
        kept, fell_back = f"{note['kept_words'] / captions:>10.2f}", f"{note['fell_back'] / captions:>13.1%}"
    ranked = sorted(note["top_words"].items(), key=lambda item: (-item[1], item[0]))
    top = ", ".join(f"{word} {count}" for word, count in ranked[:_TOP])
    return f"{name:<{width}}  {note['captions']:>8}  {kept}  {fell_back}  {note['truncated']:>8}  {top}".rstrip()
