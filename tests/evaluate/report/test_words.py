"""Words that a stream did not read, told from the sentence in the store: the store's own way against the page's."""

from __future__ import annotations

import pytest
from camoe.evaluate.report.words import read_words
from camoe.extract.analyse import analyse
from camoe.extract.strategies import STRATEGIES, read_caption

CAPTIONS = (
    "a man is riding a brown horse",
    "Two dogs, one cat & a _snake_ play; they don't stop!",
    "a *star* near\ta \\ slash",
    "x_y spinning_wheel",
)


@pytest.mark.parametrize("strategy", [name for name in STRATEGIES if name != "full"])
@pytest.mark.parametrize("text", CAPTIONS)
def test_pieces_join_to_the_caption_and_kept_words_are_read(text: str, strategy: str) -> None:
    caption = analyse(text, None)
    keep = [place % 2 == 1 for place in range(len(caption.words))]
    reading = read_caption(caption, strategy, lambda _: keep)
    pieces = read_words(caption.text, reading.sentence, strategy)
    assert "".join(piece for piece, _ in pieces) == caption.text
    read = "".join(piece for piece, flag in pieces if flag and not piece.isspace())
    assert read == "".join(word.text for word, flag in zip(caption.words, keep, strict=True) if flag)


def test_masked() -> None:
    pieces = read_words("A dog catches a ball", "_ dog _ _ ball", "muw")
    assert [piece for piece, read in pieces if read and piece != " "] == ["dog", "ball"]


@pytest.mark.parametrize("strategy", ["muw", "akwe", "rkw"])
def test_a_caption_that_was_read_whole_is_read_whole(strategy: str) -> None:
    assert all(read for _, read in read_words("hello there", "hello there", strategy))


def test_full_is_all_read() -> None:
    assert all(read for _, read in read_words("a dog", "a dog", "full"))


def test_a_sentence_of_other_words_says_nothing() -> None:
    assert all(read for _, read in read_words("a dog", "_ cat", "muw"))
