"""Which words of a caption a stream read, by the sentence that the store holds."""

from __future__ import annotations

import re
from difflib import SequenceMatcher

_PIECE = re.compile(r"\w+|[^\w\s]|\s+")
_MASK = "_"
MASKING, MARKING = ("muw", "muw-token", "rkw"), "akwe"


def read_words(caption: str, sentence: str, strategy: str) -> list[tuple[str, bool]]:
    """`(piece, whether it was read)` of a caption, white space included, so that the pieces joined are the caption.

    `sentence` is the store's: `_ dog _ _ ball` of `muw` and `muw-token`, `dog ball` of `rkw`, `a *dog* …` of `akwe`,
    whose marked words are averaged. What a stream without words of its own reads whole is all read.
    """
    pieces = _PIECE.findall(caption)
    if strategy not in (*MASKING, MARKING):
        return [(piece, True) for piece in pieces]
    kept = _kept(sentence, strategy)
    places = [place for place, piece in enumerate(pieces) if not piece.isspace()]
    matcher = SequenceMatcher(None, [pieces[place].casefold() for place in places], kept, autojunk=False)
    read = {places[block.a + step] for block in matcher.get_matching_blocks() for step in range(block.size)}
    return [(piece, piece.isspace() or place in read) for place, piece in enumerate(pieces)]


def _kept(sentence: str, strategy: str) -> list[str]:
    """The pieces that the sentence keeps, in order; of one that fell back, all of them."""
    words = sentence.split()
    if strategy == MARKING:
        marked = [word[1:-1] for word in words if len(word) > 2 and word[0] == word[-1] == "*"]
        words = marked or words
    elif strategy != "rkw":
        words = [word for word in words if word != _MASK]
    if strategy != "rkw":
        words = [re.sub(r"\\(.)", r"\1", word) for word in words]
    return [piece.casefold() for word in words for piece in _PIECE.findall(word)]
