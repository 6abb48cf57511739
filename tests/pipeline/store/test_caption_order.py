"""Captions of many shards in one order, whose ids are looked at only where the order hangs on them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from camoe.pipeline.store.caption_order import arrange
from camoe.pipeline.store.shard import CaptionKeys
from camoe.pipeline.store.strings import CodedStrings, StoredStrings, Strings
from hypothesis import given, settings
from hypothesis import strategies as st

Keys = list[tuple[str, str]]
KEY = st.tuples(st.sampled_from(["a", "b", "ü", "ca"]), st.sampled_from(["", "0", "1", "10", "é"]))


def part(keys: Keys, asked: list[tuple[str, str]] | None = None) -> CaptionKeys:
    """A shard's captions by (video, id), whose ids note that they are read."""

    def read(rows: np.ndarray | None) -> Strings:
        chosen = range(len(keys)) if rows is None else rows.tolist()
        if asked is not None:
            asked.extend(keys[row] for row in chosen)
        return Strings.of([keys[row][1] for row in chosen])

    encoded = [(video.encode(), name.encode()) for video, name in keys]
    videos = sorted({video for video, _ in encoded})
    codes = np.array([videos.index(video) for video, _ in encoded], np.int32)
    ascend = all(one < other for one, other in pairwise(encoded))
    owners = CodedStrings(Strings.of([video.decode() for video in videos]), codes)
    return CaptionKeys(StoredStrings(len(keys), read), owners, {}, {}, ascend)


@given(st.lists(st.lists(KEY, max_size=6, unique=True), max_size=4))
@settings(max_examples=200, deadline=None)
def test_the_order_is_that_of_a_plain_sort(shards: list[Keys]) -> None:
    keys = [key for shard in shards for key in shard]
    found = arrange([part(shard) for shard in shards])
    distinct = sorted(set(keys), key=lambda key: (key[0].encode(), key[1].encode()))
    assert list(found.videos) == [video for video, _ in distinct]
    first = found.first if found.first is not None else np.arange(len(keys))
    assert [keys[row] for row in first.tolist()] == distinct
    assert first.tolist() == [keys.index(key) for key in distinct], "the first of those that are the same"
    assert found.recurs == (len(distinct) < len(keys))
    position = found.position(0, len(keys))
    rows = np.arange(len(keys)) if isinstance(position, slice) else position
    assert [distinct[row] for row in rows.tolist()] == keys


def test_ids_are_read_only_of_videos_that_lie_in_several_shards() -> None:
    asked: Keys = []
    one, other = [("a", "0"), ("a", "1"), ("b", "0")], [("c", "0"), ("c", "1"), ("d", "0")]
    assert arrange([part(one, asked), part(other, asked)]).order is None
    assert asked == []
    assert list(arrange([part(other, asked), part(one, asked)]).videos) == ["a", "a", "b", "c", "c", "d"]
    assert asked == [], "shards that stand in another order need no ids either"
    arrange([part(one, asked), part([("b", "1"), ("c", "0")], asked)])
    assert asked == [("b", "0"), ("b", "1")]
    asked.clear()
    arrange([part(one, asked), part([("d", "1"), ("d", "0")], asked)])
    assert asked == [("d", "1"), ("d", "0")], "of a shard that is not sorted, its own"
