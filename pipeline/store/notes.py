"""The audit of texts: what the strategies made of captions, counted where they are read and kept with the store.

The notes of one `strategy/stream` are `captions`, `fell_back`, `truncated`, `kept_words` (counts) and `top_words`
(word -> count).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from .schema import FULL

TOP_WORDS = 200
"""Words that merged notes keep."""

_COUNTS = ("captions", "fell_back", "truncated", "kept_words")
_SHOWN = 10


def merge_notes(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The notes of several parts of a caption file, as of one; `top_words` keeps the most frequent.

    Parts without notes, as of features made elsewhere, are left out; where no part has any the result is empty.
    """
    known = [part for part in parts if is_notes(part)]
    if parts and not known:
        return {}
    words: Counter[str] = Counter()
    for part in known:
        words.update(part["top_words"])
    counts = {key: sum(part[key] for part in known) for key in _COUNTS}
    return {**counts, "top_words": dict(_ranked(words)[:TOP_WORDS])}


def format_notes(notes: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Notes per `strategy/stream` as lines of a table; none where there are none."""
    known = {name: note for name, note in notes.items() if is_notes(note)}
    if not known:
        return []
    width = max(map(len, known))
    head = f"{'texts':<{width}}  captions  kept words  whole caption  too long  most frequent"
    return [head, *(_line(name, note, width) for name, note in known.items())]


def is_notes(note: Mapping[str, Any]) -> bool:
    """Whether `note` is one that an extraction wrote."""
    words = note.get("top_words")
    return (
        all(isinstance(note.get(key), int) for key in _COUNTS)
        and isinstance(words, dict)
        and all(isinstance(count, int) for count in words.values())
    )


def _line(name: str, note: Mapping[str, Any], width: int) -> str:
    captions = max(1, note["captions"])
    if name.startswith(f"{FULL}/"):
        kept, fell_back = f"{'all':>10}", f"{'':>13}"
    else:
        kept, fell_back = f"{note['kept_words'] / captions:>10.2f}", f"{note['fell_back'] / captions:>13.1%}"
    top = ", ".join(f"{word} {count}" for word, count in _ranked(note["top_words"])[:_SHOWN])
    return f"{name:<{width}}  {note['captions']:>8}  {kept}  {fell_back}  {note['truncated']:>8}  {top}".rstrip()


def _ranked(words: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(words.items(), key=lambda item: (-item[1], item[0]))
