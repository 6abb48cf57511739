"""Columns of text: read and compared like lists, whatever is in them, and told apart by hashes."""

from __future__ import annotations

import pickle
from collections.abc import Sequence

import numpy as np
import pytest
from camoe.pipeline.store.strings import CodedStrings, StoredStrings, Strings
from camoe.pipeline.store.text_hash import first_of_each, text_hashes
from hypothesis import example, given, settings
from hypothesis import strategies as st

TEXT = st.text(st.sampled_from("ab\0ü\ud800🎬"), max_size=9).filter(lambda text: not text.endswith("\0"))
TEXTS = st.lists(TEXT, max_size=8)


def coded(texts: Sequence[str]) -> CodedStrings:
    distinct = sorted(set(texts))
    return CodedStrings(Strings.of(distinct), np.array([distinct.index(text) for text in texts], np.int32))


@settings(max_examples=25, deadline=None)
@given(TEXTS, TEXTS, st.data())
@example(["b", "", "b", "ab\0ü"], ["b", "x"], None)
def test_a_column_is_what_a_list_is(texts: list[str], others: list[str], data: st.DataObject | None) -> None:
    rows = [] if data is None or not texts else data.draw(st.lists(st.integers(0, len(texts) - 1), max_size=5))
    for column in (
        Strings.of(texts),
        Strings.of(Strings.of(texts).fixed()),
        Strings.joined([Strings.of(["x"]), Strings.of(texts)]).take(slice(1, len(texts) + 1)),
        coded(texts),
        StoredStrings(len(texts), lambda wanted: Strings.of(texts if wanted is None else [texts[n] for n in wanted])),
        pickle.loads(pickle.dumps(Strings.of(texts))),
    ):
        assert column.take(np.array(rows, np.int64)) == [texts[row] for row in rows]
        assert column == texts
        assert texts == column
        assert (len(column), list(column), column[1:3], column[::2]) == (len(texts), texts, texts[1:3], texts[::2])
        assert [column[row] for row in range(-len(texts), len(texts))] == texts + texts
        assert column.find(others).tolist() == [texts.index(text) if text in texts else -1 for text in others]
        assert column.among(others).tolist() == [text in others for text in texts]
        assert column.order().tolist() == sorted(range(len(texts)), key=texts.__getitem__)
        assert ("x" in column, bool(column)) == ("x" in texts, bool(texts))


def test_what_is_no_text_is_refused() -> None:
    for column in ([b"\xff"], [b"a\xc3", b"\xbcb"], [b"a\xc3", b"b"]):
        with pytest.raises(UnicodeDecodeError):
            Strings.of(np.array(column, "S4"))
    assert Strings.of(np.array(["ü".encode(), b""], "S4")) == ["ü", ""]
    with pytest.raises(IndexError):
        Strings.of(["a"])[1]


@settings(max_examples=25, deadline=None)
@given(TEXTS, st.integers(1, 40))
def test_hashes_tell_texts_apart(texts: list[str], width: int) -> None:
    column = Strings.of(texts).fixed()
    hashes = text_hashes(column)
    assert (hashes == text_hashes(column.astype(f"S{column.dtype.itemsize + width}"))).all()
    first, place = first_of_each(hashes)
    distinct = list(dict.fromkeys(texts))
    assert [texts[row] for row in first] == distinct
    assert [distinct[row] for row in place] == texts
    same = np.stack([np.zeros_like(hashes[0]), hashes[1]])  # where the first half of a hash tells nothing
    first, place = first_of_each(same)
    assert [distinct[row] for row in place] == texts
