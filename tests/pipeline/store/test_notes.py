from __future__ import annotations

from camoe.pipeline.store.notes import format_notes, merge_notes

ENTITY = {"captions": 4, "fell_back": 1, "truncated": 0, "kept_words": 3, "top_words": {"man": 2, "dog": 1}}
MORE = {"captions": 6, "fell_back": 0, "truncated": 2, "kept_words": 9, "top_words": {"dog": 5, "cat": 4}}
FULL = {"captions": 4, "fell_back": 0, "truncated": 1, "kept_words": 0, "top_words": {}}


def test_merge() -> None:
    assert merge_notes([ENTITY, MORE]) == {
        "captions": 10,
        "fell_back": 1,
        "truncated": 2,
        "kept_words": 12,
        "top_words": {"dog": 6, "cat": 4, "man": 2},
    }
    assert list(merge_notes([ENTITY, MORE])["top_words"]) == ["dog", "cat", "man"]
    assert merge_notes([ENTITY, {}]) == ENTITY
    assert merge_notes([{}, {"captions": "many"}]) == {}
    assert merge_notes([]) == {"captions": 0, "fell_back": 0, "truncated": 0, "kept_words": 0, "top_words": {}}


def test_the_most_frequent_words_are_kept() -> None:
    words = {f"word{number:03d}": number for number in range(300)}
    kept = merge_notes([MORE | {"top_words": words}])["top_words"]
    assert list(kept)[:2] == ["word299", "word298"]
    assert len(kept) == 200


def test_format() -> None:
    assert format_notes({"full/fusion": FULL, "muw/entity": ENTITY, "other/stream": {}}) == [
        "texts        captions  kept words  whole caption  too long  most frequent",
        "full/fusion         4         all                        1",
        "muw/entity          4        0.75          25.0%         0  man 2, dog 1",
    ]
    assert format_notes({}) == format_notes({"other/stream": {}}) == []
