"""Strategies: what the text tower reads of a caption, given the words that a stream keeps.

    full        the whole caption
    rkw         remaining key words: the kept words, in order, as a sentence
    akwe        average key-word embedding: the whole caption is read, the kept words' outputs are averaged
    muw         mask unimportant words: the kept words stay at their positions, the others are closed to attention
    muw-token   a filler token stands at the places of the others

Leaving tokens out while the rest keep their position embeddings is the same as closing attention to them: the others
then see the same keys, and no output of a closed token is read. The end token stays at its place, too.
A caption without a word of the stream is read whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import repeat

from ..pipeline.errors import CamoeError
from ..pipeline.store.schema import FULL
from .analyse import analyse
from .streams import Selector
from .text_tokens import Caption, Tokens, Word
from .tokens import TokenSequence

MASK = "_"


@dataclass(frozen=True)
class Reading:
    """One caption as one strategy reads it for one stream.

    Equal `sentence`s of a strategy and stream have equal `sequence`s. `fell_back`: no word of the stream, so the whole
    caption is read. `truncated`: it does not fit into the encoder's tokens (CLIP: 77), so something was left out.
    """

    sentence: str
    sequence: TokenSequence
    kept_words: tuple[str, ...]
    fell_back: bool
    truncated: bool


def _full(caption: Caption, keep: list[bool]) -> tuple[str, TokenSequence, bool]:
    tokens = [token for word in caption.words for token in word.tokens]
    return caption.text, *_cut(caption, tokens)


def _cut(caption: Caption, tokens: list[int]) -> tuple[TokenSequence, bool]:
    """The tokens that fit, and whether some did not."""
    room = caption.framing.room
    return caption.framing.sequence(tokens[:room]), len(tokens) > room


def _rkw(caption: Caption, keep: list[bool]) -> tuple[str, TokenSequence, bool]:
    words = [word for word, kept in zip(caption.words, keep, strict=True) if kept]
    return " ".join(word.text for word in words), *_cut(caption, caption.tokens.joined(words))


def _akwe(caption: Caption, keep: list[bool]) -> tuple[str, TokenSequence, bool]:
    framing = caption.framing
    words, keep, truncated = _fit(caption.words, keep, framing.room)
    _, sequence, _ = _full(replace(caption, words=words), [])
    flags = [kept for word, kept in zip(words, keep, strict=True) for _ in word.tokens]
    pooled = tuple(place for place, kept in enumerate(flags[: framing.room], start=len(framing.before)) if kept)
    sentence = " ".join(
        f"*{_escape(word.text)}*" if kept else _escape(word.text) for word, kept in zip(words, keep, strict=True)
    )
    return sentence, TokenSequence(sequence.tokens, sequence.positions, pooled), truncated


def _muw(caption: Caption, keep: list[bool]) -> tuple[str, TokenSequence, bool]:
    room = caption.framing.room
    words, keep, truncated = _fit(caption.words, keep, room)
    tokens: list[int] = []
    places: list[int] = []
    place = 0
    for word, kept in zip(words, keep, strict=True):
        if kept:
            tokens.extend(word.tokens)
            places.extend(range(place, place + len(word.tokens)))
        place += len(word.tokens)
    sequence = caption.framing.sequence(tokens[:room], places[:room], min(place, room))
    return _masked(words, keep), sequence, truncated


def _muw_token(caption: Caption, keep: list[bool]) -> tuple[str, TokenSequence, bool]:
    framing = caption.framing
    words, keep, truncated = _fit(caption.words, keep, framing.room)
    tokens = [
        token
        for word, kept in zip(words, keep, strict=True)
        for token in (word.tokens if kept else repeat(framing.filler, len(word.tokens)))
    ][: framing.room]
    return _masked(words, keep), framing.sequence(tokens), truncated


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


def _fit(words: list[Word], keep: list[bool], room: int) -> tuple[list[Word], list[bool], bool]:
    """Words and flags that fit the encoder's limit: unimportant words give up their places, the last ones first."""
    excess = sum(len(word.tokens) for word in words) - room
    if excess <= 0:
        return words, keep, False
    left = list(zip(words, keep, strict=True))
    for place in range(len(left) - 1, -1, -1):
        if excess > 0 and not left[place][1]:
            excess -= len(left.pop(place)[0].tokens)
    return [word for word, _ in left], [kept for _, kept in left], True


def _masked(words: list[Word], keep: list[bool]) -> str:
    """`_ man _ _ _ horse`: one `_` for each token that is not read, so that the sentence tells the positions."""
    return " ".join(
        _escape(word.text) if kept else " ".join(repeat(MASK, len(word.tokens)))
        for word, kept in zip(words, keep, strict=True)
    )


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("_", "\\_").replace("*", "\\*")


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


def read_whole(text: str, tokens: Tokens) -> TokenSequence:
    """A whole caption as the model's own tokenizer gives it: cleaned, framed, and cut where it is too long."""
    return read_caption(analyse(text, None, tokens), FULL, None).sequence
