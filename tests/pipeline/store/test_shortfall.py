from __future__ import annotations

from camoe.pipeline.store import describe_shortfall


def test_what_is_lacking_in_words() -> None:
    shortfall = {
        "expected": {"test videos": 3, "train captions": 40},
        "found": {"test videos": 2},
        "missing_videos": 2,
        "first_missing": ["v0009", "v0011"],
        "missing_files": ["raw-captions.pkl"],
    }
    assert describe_shortfall(shortfall) == [
        "2 of 3 test videos",
        "0 of 40 train captions",
        "2 videos not found (first: v0009)",
        "no raw-captions.pkl",
    ]


def test_a_whole_copy_lacks_nothing() -> None:
    assert describe_shortfall({}) == []
    assert describe_shortfall({"expected": {}, "found": {}, "missing_videos": 0, "missing_files": []}) == []
