"""What is read from its place in the files is what reading everything gives, however the store is cut and packed."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from camoe.pipeline.store import FeatureStore, Shard, StoreError, TextTable, write_shard
from camoe.pipeline.store.drop import drop_videos
from camoe.pipeline.store.row_file import StoredRows
from camoe.pipeline.store.schema import Removed
from camoe.pipeline.store.stored import StoredFrames, StoredTexts, StoredWords

ShardMaker = Callable[..., Shard]
KEYS = [(f"v{n % 23:02d}", f"{n:03d}", f"{n % 9} words {'x' * (n % 5)}") for n in range(60)]


def assert_same(store: FeatureStore) -> None:
    """In an order that is not theirs, and some of them twice."""
    draw = np.random.default_rng(0)
    frames, rows = store.frames(), draw.permutation(np.arange(40) % len(store.video_ids))
    np.testing.assert_array_equal(StoredFrames(store)[rows], frames[rows])
    np.testing.assert_array_equal(StoredFrames(store)[np.arange(len(frames))], frames)
    for strategy, stream in (("full", "fusion"), ("muw", "entity")):
        table, stored = store.text_table(strategy, stream), StoredTexts(store, strategy, stream)
        captions = draw.permutation(len(table.row))
        np.testing.assert_array_equal(stored[stored.row[captions]], table.embedding[table.row[captions]])
        same = table.row[:, None] == table.row
        np.testing.assert_array_equal(stored.row[:, None] == stored.row, same)
    words, sentences = store.word_tokens, draw.permutation(len(store.word_tokens.sentence))
    np.testing.assert_array_equal(StoredWords(store)[sentences], words.read(sentences))
    assert StoredWords(store)[sentences[:0]].shape == (0, 8)


@pytest.fixture
def folder(make_shard: ShardMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three shards of small pieces, which share sentences; some captions are taken back by the last one."""
    monkeypatch.setattr("camoe.pipeline.store.writer._CHUNK_BYTES", 200)
    ids = [f"v{n:02d}" for n in range(23)]
    out = tmp_path / "store"
    out.mkdir()
    for number in range(3):
        own = [key for key in KEYS if int(key[0][1:]) % 3 == number]
        shard = make_shard(ids[number::3], own, has_tokens=True)
        taken = (("v00", "000"), ("v03", "003")) if number == 2 else ()
        write_shard(out / f"{number}.h5", replace(shard, order=number, removed=Removed(captions=taken)))
    return out


def test_in_many_shards(folder: Path) -> None:
    assert_same(FeatureStore.open(folder))


def test_in_one_file(make_shard: ShardMaker, tmp_path: Path) -> None:
    write_shard(tmp_path / "one.h5", make_shard([f"v{n:02d}" for n in range(23)], sorted(KEYS), has_tokens=True))
    assert_same(FeatureStore.open(tmp_path / "one.h5"))


def test_a_table_that_repeats_a_sentence(make_shard: ShardMaker, tmp_path: Path) -> None:
    texts = TextTable(["a", "a"], np.arange(16, dtype=np.float16).reshape(2, 8), np.array([0, 1]))
    keys = [("a", "0", "a"), ("a", "1", "a")]
    write_shard(
        tmp_path / "0.h5", replace(make_shard(["a"], keys, strategies=("full",)), texts={("full", "fusion"): texts})
    )
    write_shard(tmp_path / "1.h5", make_shard(["b"], [("b", "0", "b")], strategies=("full",)))
    for paths in ([tmp_path / "0.h5"], [tmp_path / "0.h5", tmp_path / "1.h5"]):
        store = FeatureStore.open(paths)
        table, stored = store.text_table("full", "fusion"), StoredTexts(store, "full", "fusion")
        np.testing.assert_array_equal(stored[stored.row], table.embedding[table.row])


@pytest.mark.parametrize("packing", [{"compression": "gzip", "chunks": True}, {"chunks": (4, 2, 8)}, {}])
def test_what_others_have_packed(folder: Path, packing: dict) -> None:
    for path in folder.iterdir():
        with h5py.File(path, "r+") as file:
            for name in ("videos/frames", "texts/full/fusion/embedding"):
                values = file[name][()]
                attributes = dict(file[name].attrs)
                del file[name]
                options = {"chunks": (1, 8)} if values.ndim == 2 and "compression" not in packing else packing
                file.create_dataset(name, data=values, **options).attrs.update(attributes)
    assert_same(FeatureStore.open(folder))


def test_a_file_that_shrinks_is_told(folder: Path) -> None:
    frames = StoredFrames(FeatureStore.open(folder))
    os.truncate(folder / "1.h5", 1000)
    with pytest.raises(StoreError, match=r"1\.h5 is shorter than it was when it was opened; restore it"):
        frames[np.arange(23)]


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("videos/frames", lambda store: StoredFrames(store)[np.arange(23)]),
        ("texts/full/fusion/embedding", lambda store: StoredTexts(store, "full", "fusion")[np.arange(30)]),
        ("tokens/values", lambda store: StoredWords(store)[np.arange(len(store.word_tokens.sentence))]),
    ],
)
def test_what_is_not_finite_is_told(folder: Path, name: str, read: Callable[[FeatureStore], object]) -> None:
    with h5py.File(folder / "1.h5", "r+") as file:
        file[name][...] = np.nan
    store = FeatureStore.open(folder)
    with pytest.raises(StoreError, match=r"not finite"):
        read(store)


def test_more_files_than_may_be_open(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [folder / "0.h5"] * 3
    monkeypatch.setattr("resource.getrlimit", lambda kind: (16, 32))
    with pytest.raises(StoreError, match=r"more files than this process may keep open \(32\); join them into one file"):
        StoredRows(paths, ("videos", "frames"), 3)


def test_drops(folder: Path) -> None:
    drop_videos(folder, ["v05", "v06"])
    assert_same(FeatureStore.open(folder))
