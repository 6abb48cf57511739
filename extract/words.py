"""Words of a caption and their parts of speech.

The default tagger is HanTa, whose English model lies inside its package, with a few rules for captions on top. Five
coarse tags are enough for streams: `NOUN` (proper nouns too), `VERB`, `AUX` (forms of be, modals, auxiliary have and
do), `ADJ` and `OTHER`.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import ClassVar, Protocol

import regex  # type: ignore[import-untyped, unused-ignore]

from ..pipeline.errors import CamoeError
from ..pipeline.extras import needs_extra
from .caption_grammar import ADJ, AUX, NOUN, OTHER, TAGS, VERB, coarse_tags
from .hanta import Hanta
from .processes import in_processes

__all__ = ["TAGS", "SpacyTagger", "Tagger", "WordTagger", "load_tagger", "split_words", "tag_all", "word_spans"]

_RULES_VERSION = 1
_LONGEST_WORD = 40
"""Letters that the morpheme model looks at; its time grows with the square of a word's length."""

_CLITIC = r"'(?:s|re|ve|m|ll|d)(?![\p{L}\p{M}\p{N}])"
_WORD = regex.compile(
    rf"{_CLITIC}"  # man|'s
    rf"|[\p{{L}}\p{{M}}\p{{N}}]+(?:(?:-|(?!{_CLITIC})')[\p{{L}}\p{{M}}\p{{N}}]+)*"  # t-shirt, don't, o'clock, 3d
    r"|[^\s\p{L}\p{M}\p{N}]+"  # ..., !?, emoji
    r"|\S",
    regex.IGNORECASE,
)


class WordTagger(Protocol):
    """What `streams` asks of a tagger; `name` is stored with the features that depend on it."""

    name: str

    def tag(self, tokens: list[str]) -> list[str]:
        """One of `NOUN VERB AUX ADJ OTHER` for each token."""
        ...


def word_spans(text: str) -> list[tuple[int, int]]:
    """Start and end of each word, number, clitic or run of punctuation; together they cover all but white space."""
    return [match.span() for match in _WORD.finditer(text)]


def split_words(text: str) -> list[str]:
    """`"A man's t-shirt isn't red!"` -> `["A", "man", "'s", "t-shirt", "isn't", "red", "!"]`."""
    return _WORD.findall(text)


class Tagger:
    """HanTa 1.2.1 and a few rules; `tag` is deterministic and knows nothing of other captions."""

    def __init__(self) -> None:
        self._model = Hanta()
        self.name = f"hanta-{metadata.version('HanTa')}+rules-{_RULES_VERSION}"

    def tag(self, tokens: list[str]) -> list[str]:
        """`["a", "man", "is", "riding"]` -> `["OTHER", "NOUN", "AUX", "VERB"]`; each token is one word."""
        words = [_plain(token) for token in tokens]
        if sum(word[:1].isupper() for word in words) * 2 > len(words):  # a title or shouting: case says nothing
            words = [word.lower() for word in words]
        fine = self._fine_tags(words)
        return coarse_tags([word.lower() for word in words], fine)

    def _fine_tags(self, words: list[str]) -> list[str]:
        """C5 tags, one for each word; `don't` is read as `do n't` and has the tag of `do`."""
        pieces: list[str] = []
        starts: list[int] = []
        for word in words:
            starts.append(len(pieces))
            negated = len(word) > 3 and word.endswith("n't")
            pieces.extend((word[:-3] or word, "n't") if negated else (word[-_LONGEST_WORD:] or "-",))
        tags = self._model.tag(pieces)
        return [tags[start] for start in starts]


class SpacyTagger:
    """The user's own spaCy model, by name or folder; its tokenizer is not used."""

    _COARSE: ClassVar = {"NOUN": NOUN, "PROPN": NOUN, "VERB": VERB, "AUX": AUX, "ADJ": ADJ}

    def __init__(self, model: str) -> None:
        with needs_extra("spacy", f"--tagger spacy:{model}"):
            import spacy  # type: ignore[import-not-found, unused-ignore]
        try:
            self._pipeline = spacy.load(model)
        except (OSError, ValueError) as error:
            raise CamoeError(
                f"spaCy model {model!r} cannot be loaded; run: python -m spacy download {model}"
            ) from error
        self._document = spacy.tokens.Doc
        version = self._pipeline.meta.get("version", "0")
        self.name = f"spacy-{self._pipeline.meta.get('name', Path(model).name)}-{version}"

    def tag(self, tokens: list[str]) -> list[str]:
        """Universal tags of the model, made coarse."""
        if not tokens:
            return []
        document = self._document(self._pipeline.vocab, words=[token.strip() or "-" for token in tokens])
        return [self._COARSE.get(token.pos_, OTHER) for token in self._pipeline(document)]


def load_tagger(name: str = "hanta") -> WordTagger:
    """`hanta`, or `spacy:MODEL`; raises `CamoeError` for another name or a model that is not there."""
    if name == "hanta":
        return Tagger()
    kind, _, model = name.partition(":")
    if kind == "spacy" and model:
        return SpacyTagger(model)
    raise CamoeError(f"tagger {name!r} does not exist; choose hanta or spacy:MODEL (for example spacy:en_core_web_sm)")


def tag_all(texts: Sequence[str], workers: int = 1, tagger: WordTagger | None = None) -> list[list[str]]:
    """Tags of the words (`split_words`) of each text, in order."""
    known = tagger or Tagger()
    chunks = [texts[start : start + 500] for start in range(0, len(texts), 500)]
    tagged = in_processes(lambda chunk: [known.tag(split_words(text)) for text in chunk], chunks, workers)
    return [tags for chunk in tagged for tags in chunk]


def _plain(token: str) -> str:
    return token.strip().replace("’", "'")
