"""Which words of a caption a stream read, by the sentence that the store holds."""

from __future__ import annotations

import re

_PIECE = re.compile(r"[^\W\d_]+|\s+|.", re.DOTALL)
"""No coarser than CLIP's tokenizer: letters, one digit, one other sign."""
_MASK = "_"
MASKING, MARKING = ("muw", "muw-token", "rkw"), "akwe"


def read_words(caption: str, sentence: str, strategy: str) -> list[tuple[str, bool]]:
    """`(piece, whether it was read)` of a caption, white space included, so that the pieces joined are the caption.

    `sentence` is the store's: `_ dog _ _ ball` of `muw` and `muw-token`, `dog ball` of `rkw`, `a *dog* …` of `akwe`,
    whose marked words are averaged. What a stream without words of its own reads whole is all read, and so is a caption
    that the sentence is not made of.
    """
    pieces = _PIECE.findall(caption)
    if strategy not in (*MASKING, MARKING):
        return [(piece, True) for piece in pieces]
    kept, place = _kept(sentence, strategy), 0
    found = []
    for piece in pieces:
        read = place < len(kept) and piece.casefold() == kept[place]
        place += read
        found.append((piece, read or piece.isspace()))
    return found if place == len(kept) else [(piece, True) for piece in pieces]


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
