"""Streams that are a list of words instead of tags: one word or phrase a line, `#` begins a comment."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from ..pipeline.errors import CamoeError
from .words import split_words

SHIPPED = Path(__file__).with_name("wordlists")
_MAX_BYTES = 16 << 20


@dataclass(frozen=True)
class WordList:
    """Words and phrases, lower-case; `longest` is the number of words of the longest phrase."""

    name: str
    sha256: str
    phrases: frozenset[tuple[str, ...]]
    longest: int = field(default=1)

    def matches(self, words: list[str]) -> list[bool]:
        """Which words stand in the list, alone or as part of a phrase; regular plurals count as their singulars."""
        keep = [False] * len(words)
        for start in range(len(words)):
            for length in range(min(self.longest, len(words) - start), 0, -1):
                head, last = tuple(words[start : start + length - 1]), words[start + length - 1]
                if any((*head, form) in self.phrases for form in _forms(last)):
                    keep[start : start + length] = [True] * length
                    break
        return keep


def load_word_list(name: str) -> WordList:
    """A shipped list (`scene`) or a text file; raises `CamoeError` where there is none or it is empty."""
    shipped = {path.stem: path for path in SHIPPED.glob("*.txt")}
    path = shipped.get(name, Path(name))
    try:
        size = path.stat().st_size
        if size > _MAX_BYTES:
            raise CamoeError(f"word list {name} has {size} bytes, more than {_MAX_BYTES}; is it the right file?")
        return _read(str(path), path.stat().st_mtime_ns)
    except OSError as error:
        lists = ", ".join(f"@{known}" for known in sorted(shipped))
        raise CamoeError(f"word list {name} cannot be read; give @FILE.txt or a shipped list ({lists})") from error
    except UnicodeDecodeError as error:
        raise CamoeError(f"word list {name} is not UTF-8 text; save it as UTF-8") from error


@lru_cache(maxsize=64)
def _read(path: str, changed: int) -> WordList:
    content = Path(path).read_bytes()
    lines = (line.partition("#")[0] for line in content.decode("utf-8-sig").split("\n"))
    phrases = frozenset(tuple(words) for line in lines if (words := split_words(line.lower())))
    if not phrases:
        raise CamoeError(f"word list {path} holds no words; write one word or phrase a line")
    name, digest = Path(path).name, hashlib.sha256(content).hexdigest()
    return WordList(name, digest, phrases, max(map(len, phrases)))


def _forms(word: str) -> list[str]:
    """The word and what it may be the plural of: `beaches` -> `beaches`, `beache`, `beach`."""
    forms = [word]
    if word.endswith("s") and len(word) > 3:
        forms.append(word[:-1])
        if word.endswith("es"):
            forms.append(word[:-2])
        if word.endswith("ies"):
            forms.append(word[:-3] + "y")
    return forms
