"""Splits by seed, of new data and of data that has grown."""

from __future__ import annotations

from collections import Counter

from camoe.pipeline.captions.splits import split_videos
from hypothesis import given
from hypothesis import strategies as st

names = st.text(min_size=1, max_size=6)


@given(st.sets(names, min_size=3, max_size=60), st.integers(0, 5))
def test_every_subset_has_a_video(videos: set[str], seed: int) -> None:
    codes = split_videos(videos, seed)
    assert codes == split_videos(sorted(videos), seed)
    assert set(codes) == videos
    held_out = max(1, round(0.1 * len(videos)))
    counts = Counter(codes.values())
    assert counts == {1: len(videos) - 2 * held_out, 2: held_out, 3: held_out}


def test_tiny_splits() -> None:
    assert split_videos(["a"], 0) == {"a": 1}
    assert sorted(split_videos(["a", "b"], 0).values()) == [1, 3]
    assert split_videos([], 0) == {}


def test_the_draw_is_pinned() -> None:
    """Stores that were made before keep their splits: seed 0, as the first version drew it."""
    codes = split_videos([f"v{n:02d}" for n in range(20)], 0)
    assert {code: sorted(video for video in codes if codes[video] == code) for code in (2, 3)} == PINNED


PINNED = {2: ["v06", "v10"], 3: ["v00", "v03"]}


@given(st.sets(names, max_size=40), st.sets(names, max_size=40), st.integers(0, 3), st.integers(0, 3))
def test_growing_moves_no_video(before: set[str], added: set[str], seed: int, other_seed: int) -> None:
    known = split_videos(before, seed)
    codes = split_videos(before | added, other_seed, known)
    assert set(codes) == before | added
    assert {video: codes[video] for video in before} == known
    assert codes == split_videos(sorted(before | added), other_seed, dict(sorted(known.items())))


@given(st.dictionaries(names, st.integers(1, 3), max_size=30), st.sets(names, max_size=30))
def test_new_videos_fill_what_is_lacking(known: dict[str, int], added: set[str]) -> None:
    codes = split_videos(set(known) | added, 0, known)
    counts, new = Counter(codes.values()), added - set(known)
    share = max(1, round(0.1 * len(codes)))
    for code in (2, 3):
        if counts[code] > share:
            assert all(codes[video] != code for video in new), "no more is held out than its share"
    if len(new) >= 3:
        assert set(codes.values()) >= {1, 2, 3}


def test_known_videos_that_are_gone_and_unused_ones() -> None:
    assert split_videos(["a", "b"], 0, {"a": 0, "gone": 3}) == {"a": 0, "b": 1}
