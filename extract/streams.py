"""Streams: which words of a caption each reading of it keeps.

A stream is defined by tags (`NOUN,ADJ`) or by a list of words (`@scene`, `@words.txt`); `fusion` is the whole caption.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from ..pipeline.errors import CamoeError
from ..pipeline.store.schema import FULL, FUSION, TextName
from .text_tokens import Caption
from .wordlist import WordList, load_word_list
from .words import TAGS

DEFAULT_STREAMS = {FUSION: "everything", "entity": "NOUN", "action": "VERB"}

Selector = Callable[[Caption], list[bool]]
"""Which words of a caption belong to a stream."""


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


def text_names(strategies: Iterable[str], streams: Iterable[str]) -> list[TextName]:
    """The (strategy, stream) pairs that are made: always `("full", "fusion")`; of every other strategy, one for each
    stream but fusion."""
    names = [(FULL, FUSION)]
    for strategy in strategies:
        if strategy != FULL:
            names += [(strategy, stream) for stream in streams if stream != FUSION]
    return list(dict.fromkeys(names))
