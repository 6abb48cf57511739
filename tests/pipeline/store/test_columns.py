"""A store in columns against the same in lists: captions cut anyhow into shards, some of them replaced or taken out."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from camoe.pipeline.store import FeatureStore, Shard, write_shard
from camoe.pipeline.store.schema import Removed
from camoe.pipeline.store.shard import read_index
from hypothesis import given, settings
from hypothesis import strategies as st

ShardMaker = Callable[..., Shard]
KEY = st.tuples(st.sampled_from(["a", "b", "ü", "cc"]), st.sampled_from(["0", "1", "10", "2"]))


def text(key: tuple[str, str]) -> str:
    return f"{key[0]} reads {len(key[1])}"


@settings(max_examples=12, deadline=None)
@given(st.lists(st.lists(KEY, unique=True, max_size=6), min_size=1, max_size=4), st.sets(KEY, max_size=3), st.data())
def test_captions_of_many_shards(
    make_shard: ShardMaker, cut: list[list[tuple[str, str]]], gone: set[tuple[str, str]], data: st.DataObject
) -> None:
    """Each caption has its whole text in one shard; some have another strategy's in any other."""
    with tempfile.TemporaryDirectory() as folder:
        seen: set[tuple[str, str]] = set()
        for number, keys in enumerate(cut):
            whole = [key for key in keys if key not in seen]
            seen.update(whole)
            named = [(*key, text(key)) for key in whole]
            shard = make_shard(None, named, strategies=("full",))
            write_shard(Path(folder) / f"texts-{number:05d}.h5", replace(shard, order=number + 1))
        again = sorted(seen)
        shard = make_shard(None, [(*key, text(key)) for key in again], strategies=("muw",))
        write_shard(Path(folder) / "texts-00010.h5", replace(shard, order=10))
        if gone:
            empty = make_shard(None, [], strategies=("full",))
            told = replace(empty, removed=Removed(captions=tuple(sorted(gone))), texts={}, order=20)
            write_shard(Path(folder) / "changes-00000.h5", told)
        store = FeatureStore.open(folder)
        left = sorted(seen - gone)
        assert list(zip(store.caption_video_ids, store.caption_ids, strict=True)) == left
        assert store.caption_texts == list(map(text, left))
        table = store.text_table("full", "fusion")
        assert [table.sentence[row] for row in table.row] == list(map(text, left))
        assert sorted(table.sentence) == sorted(set(map(text, left)))
        rows = np.array(data.draw(st.lists(st.integers(0, len(left) - 1), max_size=5)) if left else [], np.int64)
        assert store.caption_texts.take(rows) == [text(left[row]) for row in rows]
        for strategy, stream in store.text_names:
            table, some = store.text_table(strategy, stream), store.text_table(strategy, stream, rows)
            assert (some.embedding[some.row] == table.embedding[table.row[rows]]).all()
            assert [some.sentence[row] for row in some.row] == [table.sentence[row] for row in table.row[rows]]
            places = store.text_places(strategy, stream)
            assert len(places.rows) == len(table.embedding)
        found = store.find_sentences(("full", "fusion"), [*map(text, left), "not there"])
        assert set(found) == set(map(text, left))
        clean = make_shard(None, [(*key, text(key)) for key in left], strategies=("full", "muw"))
        write_shard(Path(folder) / "clean.h5", clean)
        assert store.content_hash == FeatureStore.open(Path(folder) / "clean.h5").content_hash


def test_some_videos_and_captions_alone(make_shard: ShardMaker, tmp_path: Path) -> None:
    for number, ids in enumerate((["b", "dx"], ["a", "ccc"])):
        write_shard(tmp_path / f"frames-{number:05d}.h5", make_shard(ids, None))
    write_shard(tmp_path / "texts-00000.h5", make_shard(None, [("b", "0", "x"), ("a", "0", "y"), ("no", "0", "z")]))
    store = FeatureStore.open(tmp_path)
    rows = np.array([3, 0, 3])
    assert (store.frames(rows) == store.frames()[rows]).all()
    assert store.caption_videos.tolist() == [0, 1, -1]
    table = store.text_table("full", "fusion", np.array([1, 1]))
    assert ([table.sentence[row] for row in table.row], len(table.embedding)) == (["x", "x"], 1)


def test_a_shard_that_is_still_the_same_is_not_read_again(make_shard: ShardMaker, tmp_path: Path) -> None:
    path = tmp_path / "s.h5"
    write_shard(path, make_shard())
    store = FeatureStore.open(path)
    assert FeatureStore.open(path, store).shards[0] is store.shards[0]
    write_shard(path, make_shard(["a"], None))
    assert FeatureStore.open(path, store).video_ids == ["a"]
    assert read_index(path).stamp != store.shards[0].stamp
