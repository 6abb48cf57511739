"""Short queries that a store's own captions suggest: what stands together in them, in one to three words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ...extract.caption_grammar import ADJ, NOUN, VERB
from ...extract.words import WordTagger, split_words

Phrase = tuple[str, ...]

LONGEST = 3
"""Words of a short query, at most."""
ARTICLES = frozenset({"a", "an", "the"})


def length_of(words: Sequence[str]) -> int:
    """How long a query is: its words, without articles and punctuation."""
    return sum(word.lower() not in ARTICLES and any(map(str.isalnum, word)) for word in words)


def phrases(text: str, tagger: WordTagger) -> Iterator[Phrase]:
    """Neighbouring nouns, adjectives and verbs with a noun among them, in small letters.

    `A red star falls over the sea` -> `red star`, `red star falls`, `star`, `star falls`, `sea`.
    """
    words = split_words(text)
    tags = tagger.tag(words)
    for start, length in _windows(words):
        kinds = set(tags[start : start + length])
        if NOUN in kinds and kinds <= {NOUN, ADJ, VERB}:
            yield _lower(words[start : start + length])


def places(wanted: Iterable[Phrase], texts: Iterable[str]) -> dict[Phrase, list[int]]:
    """Where phrases stand: of each, which of the `texts` hold it, in their order."""
    found: dict[Phrase, list[int]] = {phrase: [] for phrase in wanted}
    for place, text in enumerate(texts):
        words = _lower(split_words(text))
        for phrase in {words[start : start + length] for start, length in _windows(words)} & found.keys():
            found[phrase].append(place)
    return found


def _windows(words: Sequence[str]) -> Iterator[tuple[int, int]]:
    for start in range(len(words)):
        for length in range(1, min(LONGEST, len(words) - start) + 1):
            yield start, length


def _lower(words: Iterable[str]) -> Phrase:
    return tuple(word.lower() for word in words)
