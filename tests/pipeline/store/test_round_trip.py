"""What is written is what is read, however it is cut into shards."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from camoe.pipeline.errors import CamoeError
from camoe.pipeline.store import (
    Captions,
    FeatureStore,
    Shard,
    StoreError,
    TextTable,
    shard_bytes,
    write_shard,
)
from camoe.pipeline.store.single_file import write_single_file
from hypothesis import given, settings
from hypothesis import strategies as st

ShardMaker = Callable[..., Shard]
names = st.text(min_size=1, max_size=12).filter(lambda text: not text.endswith("\0"))
texts = st.one_of(st.just(""), names)


@st.composite
def contents(draw: st.DrawFn) -> tuple[list[str], list[tuple[str, str, str]]]:
    ids = draw(st.lists(names, min_size=1, max_size=6, unique=True))
    keys = draw(
        st.lists(st.tuples(st.sampled_from([*ids, "other"]), names, texts), max_size=8, unique_by=lambda key: key[:2])
    )
    return ids, keys


@given(contents())
@settings(deadline=None, max_examples=60)
def test_round_trip(make_shard: ShardMaker, content: tuple) -> None:
    written = make_shard(*content)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "s.h5"
        write_shard(path, written)
        store = FeatureStore.open(path)
        assert store.settings == written.settings
        assert_same_videos(store, written)
        assert_same_captions(store, written)


def assert_same_videos(store: FeatureStore, shard: Shard) -> None:
    videos = shard.videos
    assert videos is not None
    order = sorted(range(len(videos.id)), key=videos.id.__getitem__)
    assert store.video_ids == [videos.id[row] for row in order]
    assert store.video_status == [videos.status[row] for row in order]
    assert store.frame_count.tolist() == videos.frame_count[order].tolist()
    for ours, theirs in (
        (store.frames(), videos.frames),
        (store.frame_times(), videos.frame_time_s),
        (store.video_column("source_size"), videos.source_size),
        (store.video_column("source_mtime"), videos.source_mtime),
        (store.video_column("duration_s"), videos.duration_s),
    ):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs[order])


def assert_same_captions(store: FeatureStore, shard: Shard) -> None:
    captions = shard.captions
    assert captions is not None
    keys = list(zip(captions.video_id, captions.id, strict=True))
    order = sorted(range(len(keys)), key=keys.__getitem__)
    assert list(zip(store.caption_video_ids, store.caption_ids, strict=True)) == [keys[row] for row in order]
    assert store.caption_texts == [captions.text[row] for row in order]
    assert store.protocols["own"].tolist() == captions.protocols["own"][order].tolist()
    assert store.shortfall == {"own": {"missing": 2}}
    assert store.text_names == sorted(shard.texts)
    for name, table in shard.texts.items():
        read = store.text_table(*name)
        assert [read.sentence[row] for row in read.row] == [table.sentence[row] for row in table.row[order]]
        np.testing.assert_array_equal(read.embedding[read.row], table.embedding[table.row[order]])


def test_the_small_example(make_shard: ShardMaker, tmp_path: Path) -> None:
    write_shard(tmp_path / "s.h5", make_shard())
    store = FeatureStore.open(tmp_path / "s.h5")
    assert store.video_ids == ["a", "b", "ccc", "dx", "ü"]
    assert store.video_status == ["ok", "ok", "ok", "damaged", "ok"]
    assert store.frame_count.tolist() == [2, 2, 4, 3, 2]
    assert store.caption_texts == ["a man rides a horse", "a dog runs", "a dog runs", "", "ein Hund läuft"]
    assert store.protocols["own"].tolist() == [1, 1, 1, 3, 1]
    table = store.text_table("full", "fusion")
    assert len(table.sentence) == 4
    assert table.row[1] == table.row[2]
    assert store.text_table("muw", "fusion").sentence == table.sentence
    with pytest.raises(StoreError, match=r"s.h5 has no texts rkw/entity; it has full/fusion, muw/entity"):
        store.text_table("rkw", "entity")


def test_the_same_shard_gives_the_same_bytes(make_shard: ShardMaker) -> None:
    assert shard_bytes(make_shard()) == shard_bytes(make_shard())


def test_content_does_not_depend_on_the_cut(make_shard: ShardMaker, tmp_path: Path) -> None:
    ids, keys = [f"video{n * 7 % 20}" for n in range(20)], []
    for number in range(60):
        keys.append((f"video{number * 11 % 23}", f"c{number}", f"text {number % 9}"))
    write_shard(tmp_path / "whole.h5", make_shard(ids, keys))
    cut = tmp_path / "cut"
    cut.mkdir()
    write_shard(cut / "frames-0.h5", make_shard(ids[:3], None))
    write_shard(cut / "frames-1.h5", make_shard(ids[3:], None))
    write_shard(cut / "texts-0.h5", make_shard(None, keys[:25], strategies=("full",)))
    write_shard(cut / "texts-1.h5", make_shard(None, keys[25:], strategies=("full",)))
    write_shard(cut / "texts-2.h5", make_shard(None, keys[::-1], strategies=("muw",)))
    write_single_file(sorted(cut.iterdir()), tmp_path / "merged.h5")
    write_shard(tmp_path / "permuted.h5", make_shard(ids[::-1], keys[5:] + keys[:5]))
    stores = [FeatureStore.open(tmp_path / name) for name in ("whole.h5", "cut", "merged.h5", "permuted.h5")]
    first = stores[0]
    assert len({store.content_hash for store in stores}) == 1
    for store in stores[1:]:
        assert store.settings == first.settings
        assert store.video_ids == first.video_ids == sorted(ids)
        assert store.caption_ids == first.caption_ids
        np.testing.assert_array_equal(store.frames(), first.frames())
        np.testing.assert_array_equal(store.frame_times(), first.frame_times())
        for name in first.text_names:
            ours, theirs = store.text_table(*name), first.text_table(*name)
            assert len(ours.sentence) == len(set(ours.sentence)) == len(theirs.sentence)
            assert [ours.sentence[row] for row in ours.row] == [theirs.sentence[row] for row in theirs.row]
            np.testing.assert_array_equal(ours.embedding[ours.row], theirs.embedding[theirs.row])
    assert stores[2].text_notes["full/fusion"]["captions"] == 60


@pytest.mark.parametrize("change", ["frame", "time", "status", "text", "subset", "embedding", "id"])
def test_content_hash_tells_contents_apart(make_shard: ShardMaker, tmp_path: Path, change: str) -> None:
    write_shard(tmp_path / "before.h5", make_shard())
    changed = make_shard()
    videos, captions = changed.videos, changed.captions
    assert videos is not None
    assert captions is not None
    if change == "frame":
        videos.frames[2, 0, 0] += 1
    elif change == "time":
        videos.frame_time_s[2, 0] += 1
    elif change == "status":
        videos.status[0] = "damaged"
    elif change == "text":
        captions.text[0] += "!"
    elif change == "subset":
        captions.protocols["own"][0] = 2
    elif change == "embedding":
        changed.texts["muw", "entity"].embedding[0, 0] += 1
    else:
        captions.id[0] = "9"
    write_shard(tmp_path / "after.h5", changed)
    hashes = {FeatureStore.open(tmp_path / name).content_hash for name in ("before.h5", "after.h5")}
    assert len(hashes) == 2


def test_a_video_in_two_shards_is_refused(make_shard: ShardMaker, tmp_path: Path) -> None:
    write_shard(tmp_path / "a.h5", make_shard(["x", "y"], None))
    write_shard(tmp_path / "b.h5", make_shard(["y", "z"], None))
    with pytest.raises(StoreError, match=r"video 'y' lies in both .*a\.h5 and .*b\.h5"):
        FeatureStore.open(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fps": 2.0}, "fps is 1.0 in the first and 2.0 in the second"),
        ({"clip_sha256": "ef" * 32}, "clip_sha256 is abab.* in the first and efef"),
        ({"precision": "fp16"}, "precision is fp32 in the first and fp16 in the second"),
    ],
)
def test_unlike_settings_are_refused(make_shard: ShardMaker, tmp_path: Path, change: dict, message: str) -> None:
    write_shard(tmp_path / "a.h5", make_shard(["x"], None))
    write_shard(tmp_path / "b.h5", make_shard(["y"], None, **change))
    with pytest.raises(StoreError, match=rf"a\.h5 and .*b\.h5 were made with different settings: {message}"):
        FeatureStore.open(tmp_path)


def test_a_setting_that_the_first_shard_does_not_state_is_compared(make_shard: ShardMaker, tmp_path: Path) -> None:
    write_shard(tmp_path / "a.h5", make_shard(["x"], None, tagger=None))
    write_shard(tmp_path / "b.h5", make_shard(None, KEYS[:1], tagger="hanta"))
    write_shard(tmp_path / "c.h5", make_shard(None, KEYS[1:], tagger="rules"))
    with pytest.raises(StoreError, match=r"b\.h5 and .*c\.h5 .*tagger is hanta in the first and rules in the second"):
        FeatureStore.open(tmp_path)
    write_shard(tmp_path / "c.h5", make_shard(None, KEYS[1:], streams={"entity": "NOUN,ADJ"}))
    with pytest.raises(StoreError, match="stream 'entity' means NOUN in one shard and NOUN,ADJ in another"):
        FeatureStore.open(tmp_path)


KEYS = [("a", "0", "a man"), ("a", "1", "a dog runs"), ("b", "0", "a man")]


def test_texts_of_captions_in_several_shards(make_shard: ShardMaker, tmp_path: Path) -> None:
    write_shard(tmp_path / "a.h5", make_shard(None, KEYS, strategies=("full",)))
    write_shard(tmp_path / "b.h5", make_shard(None, KEYS[2:], strategies=("muw",)))
    store = FeatureStore.open(tmp_path)
    assert store.text_names == [("full", "fusion"), ("muw", "entity")]
    assert len(store.text_table("full", "entity").row) == 3
    with pytest.raises(StoreError, match=r"2 of 3 captions lack the texts muw/entity \(first: '0'\); run the same"):
        store.text_table("muw", "entity")
    write_shard(tmp_path / "c.h5", make_shard(None, KEYS[:2], strategies=("muw",)))
    table = FeatureStore.open(tmp_path).text_table("muw", "entity")
    assert [table.sentence[row] for row in table.row] == ["a m _", "a d _", "a m _"]
    assert sorted(table.sentence) == ["a d _", "a m _"]
    write_shard(tmp_path / "d.h5", make_shard(None, KEYS[1:2], strategies=("muw",)))
    with pytest.raises(StoreError, match=r"texts muw/entity of a caption lie in .*d.h5 and in another shard"):
        FeatureStore.open(tmp_path).text_table("muw", "entity")


def test_a_table_that_repeats_a_sentence(make_shard: ShardMaker, tmp_path: Path) -> None:
    first, second = make_shard(None, KEYS[:1]), make_shard(None, KEYS[1:], strategies=("full",))
    twice = TextTable(["x", "x"], np.array([[1] * 8, [1] * 8], np.float16), np.array([1, 0]))
    second.texts["full", "fusion"] = twice
    write_shard(tmp_path / "a.h5", first)
    write_shard(tmp_path / "b.h5", second)
    table = FeatureStore.open(tmp_path).text_table("full", "fusion")
    assert [table.sentence[row] for row in table.row] == ["a man", "x", "x"]
    assert table.embedding[table.row][1:].tolist() == [[1] * 8] * 2


def test_captions_that_disagree_are_refused(make_shard: ShardMaker, tmp_path: Path) -> None:
    write_shard(tmp_path / "a.h5", make_shard(None, KEYS, strategies=("full",)))
    write_shard(tmp_path / "b.h5", make_shard(None, [("a", "1", "a cat runs")], strategies=("muw",)))
    with pytest.raises(StoreError, match=r"caption '1' of video 'a' reads differently in .*b.h5 and in another shard"):
        _ = FeatureStore.open(tmp_path).captions
    other = make_shard(None, KEYS, strategies=("muw",))
    assert other.captions is not None
    other.captions.protocols["own"][:] = 2
    write_shard(tmp_path / "b.h5", other)
    with pytest.raises(StoreError, match=r"protocol own puts a caption into another subset in .*b.h5 than elsewhere"):
        _ = FeatureStore.open(tmp_path).captions
    write_shard(tmp_path / "b.h5", make_shard(None, [("c", "1", "x"), ("c", "1", "x")]))
    with pytest.raises(StoreError, match=r"b.h5: video 'c' has two captions '1'"):
        _ = FeatureStore.open(tmp_path / "b.h5").captions


def test_merging_is_of_bounded_memory_blocks_and_any_order(
    make_shard: ShardMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("camoe.pipeline.store.single_file._BLOCK_BYTES", 1)
    monkeypatch.setattr("camoe.pipeline.store.writer._CHUNK_BYTES", 256)
    ids = [f"v{n * 37 % 101:03d}" for n in range(101)]
    write_shard(tmp_path / "a.h5", make_shard(ids[:40], None))
    write_shard(tmp_path / "b.h5", make_shard(ids[40:], None))
    write_single_file([tmp_path / "a.h5", tmp_path / "b.h5"], tmp_path / "m.h5")
    monkeypatch.setattr("camoe.pipeline.store.rows._BLOCK_BYTES", 1)
    parts = FeatureStore.open([tmp_path / "b.h5", tmp_path / "a.h5"])
    merged = FeatureStore.open(tmp_path / "m.h5")
    assert merged.content_hash == parts.content_hash
    np.testing.assert_array_equal(merged.frames(), parts.frames())
    np.testing.assert_array_equal(merged.frames(), make_shard(sorted(ids), None).videos.frames)  # type: ignore[union-attr]


def test_paths(make_shard: ShardMaker, tmp_path: Path) -> None:
    write_shard(tmp_path / "a[1].h5", make_shard(["x"], None))
    write_shard(tmp_path / "b.h5", make_shard(["y"], None))
    one, two = tmp_path / "a[1].h5", tmp_path / "b.h5"
    for paths in (tmp_path, [one, two], str(tmp_path / "*.h5"), [tmp_path, two]):
        assert FeatureStore.open(paths).video_ids == ["x", "y"]
    assert FeatureStore.open(one).video_ids == ["x"]
    (tmp_path / "empty").mkdir()
    (tmp_path / "begun.h5.parts").mkdir()
    for paths, message in (
        (tmp_path / "none.h5", "none.h5 does not exist; give a store that camoe-extract wrote"),
        (tmp_path / "begun.h5", "begun.h5 does not exist; camoe-extract has begun it and not ended: run the same"),
        (tmp_path / "empty", r"empty holds no feature store"),
        ([], "no feature store was given"),
    ):
        with pytest.raises(StoreError, match=message):
            FeatureStore.open(paths)


def test_records_check_themselves(make_shard: ShardMaker) -> None:
    videos, captions = make_shard().videos, make_shard().captions
    assert videos is not None
    assert captions is not None
    with pytest.raises(ValueError, match="videos: columns differ in length"):
        dataclasses.replace(videos, id=["a"])
    with pytest.raises(ValueError, match=r"frame_count must lie in 1\.\.4"):
        dataclasses.replace(videos, frame_count=videos.frame_count * 3)
    frames = videos.frames.copy()
    frames[2, 0, 0] = np.inf
    with pytest.raises(CamoeError, match="video 'ccc' has frames that are not finite"):
        dataclasses.replace(videos, frames=frames)
    with pytest.raises(CamoeError, match="video 'ccc' has frames that are not finite"):
        dataclasses.replace(videos, frames=np.nan_to_num(frames.astype(np.float32), posinf=1e6))
    with pytest.raises(ValueError, match="captions: columns differ in length"):
        dataclasses.replace(captions, text=[])
    with pytest.raises(ValueError, match="a caption points outside the 1 sentences"):
        TextTable(["a"], np.zeros((1, 8), np.float16), np.array([1]))
    with pytest.raises(CamoeError, match="the embedding of 'a' is not finite"):
        TextTable(["a"], np.full((1, 8), np.nan, np.float16), np.array([0]))
    with pytest.raises(ValueError, match="texts full/fusion do not match the captions"):
        dataclasses.replace(make_shard(), captions=Captions([], [], [], {}))


def test_a_text_that_hdf5_cannot_keep(make_shard: ShardMaker) -> None:
    with pytest.raises(CamoeError, match="ends in a NUL character"):
        shard_bytes(make_shard(None, [("a", "0", "a\0")]))
