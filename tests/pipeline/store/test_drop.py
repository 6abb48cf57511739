"""Videos taken out of stores: at once or not at all, and as if they had never been there."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from camoe.pipeline.errors import CamoeError
from camoe.pipeline.store import FeatureStore, Shard
from camoe.pipeline.store.build import StoreBuilder
from camoe.pipeline.store.cli import main
from camoe.pipeline.store.drop import drop_videos
from camoe.pipeline.store.info import describe
from camoe.pipeline.store.merge import merge_stores
from camoe.pipeline.store.schema import FAILED, Failure
from camoe.pipeline.store.verify import verify_store

ShardMaker = Callable[..., Shard]
KEYS = [("a", "0", "a man"), ("bb", "0", "a dog"), ("bb", "1", "two dogs"), ("ccc", "0", "a cat"), ("lost", "0", "it")]
LOST = Failure("lost", "lost.mp4", FAILED, "empty")


def fill(out: Path, *shards: Shard) -> Path:
    with StoreBuilder(out, shards[0].settings, adding=True) as builder:
        for shard in shards:
            builder.publish(shard)
        builder.finish()
    return out


@pytest.fixture(params=["store", "s.h5"])
def out(request: pytest.FixtureRequest, make_shard: ShardMaker, tmp_path: Path) -> Path:
    frames = make_shard(["a", "bb", "ccc"], None)
    return fill(tmp_path / str(request.param), replace(frames, failures=(LOST,)), make_shard(None, KEYS))


def state(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_as_if_they_had_never_been_there(out: Path, make_shard: ShardMaker, tmp_path: Path) -> None:
    done = drop_videos(out, ["bb", "lost", "bb"])
    assert (done.videos, done.failed, done.captions) == (1, 1, 3)
    left = [key for key in KEYS if key[0] in ("a", "ccc")]
    clean = fill(tmp_path / "clean.h5", make_shard(["a", "ccc"], left))
    store, expected = FeatureStore.open(out), FeatureStore.open(clean)
    assert store.content_hash == expected.content_hash
    assert (store.video_ids, store.caption_texts) == (["a", "ccc"], ["a man", "a cat"])
    assert store.text_table("muw", "entity").sentence == expected.text_table("muw", "entity").sentence
    assert (store.failures, store.dropped) == ({}, ["bb", "lost"])
    assert verify_store([out]) == []
    assert "dropped   2 videos (first: bb)" in list(describe(store))
    again = drop_videos(out, ["bb"])
    assert (again.videos, again.captions, again.store.content_hash) == (0, 0, store.content_hash)
    merge_stores([out], tmp_path / "merged")
    merged = FeatureStore.open(tmp_path / "merged")
    assert (merged.content_hash, merged.dropped) == (store.content_hash, [])


def test_drops_follow_one_another(out: Path) -> None:
    drop_videos(out, ["bb"])
    drop_videos(out, ["a"])
    store = FeatureStore.open(out)
    assert (store.video_ids, store.dropped) == (["ccc"], ["a", "bb"])


def test_ids_that_are_not_there_change_nothing(out: Path, tmp_path: Path) -> None:
    before = state(tmp_path)
    with pytest.raises(CamoeError, match="knows no video 'x', 'y', 'z', …, so nothing was dropped"):
        drop_videos(out, ["bb", "y", "x", "z", "zz"])
    with pytest.raises(CamoeError, match="would be left without videos; delete it instead"):
        drop_videos(out, ["a", "bb", "ccc"])
    with pytest.raises(CamoeError, match="absent is no store"):
        drop_videos(tmp_path / "absent", ["bb"])
    assert state(tmp_path) == before


def test_parts_of_an_unfinished_file_are_not_merged(make_shard: ShardMaker, tmp_path: Path) -> None:
    out, shard = tmp_path / "s.h5", make_shard(["a", "bb"], None)
    with StoreBuilder(out, shard.settings, adding=True) as builder:
        builder.publish(shard)
    before = state(tmp_path)
    with pytest.raises(CamoeError, match=r"s\.h5 does not exist; camoe-extract has begun it and not ended"):
        drop_videos(out, ["a"])
    assert state(tmp_path) == before


def test_a_benchmark_says_what_it_lacks_now(make_shard: ShardMaker, tmp_path: Path) -> None:
    whole = make_shard(["a", "bb", "ccc"], KEYS)
    assert whole.captions is not None
    codes = np.array([1, 3, 3, 3, 0], np.uint8)
    captions = replace(whole.captions, protocols={"msvd": codes, "own": codes}, shortfall={"msvd": {}, "own": {}})
    out = fill(tmp_path / "store", replace(whole, captions=captions))
    drop_videos(out, ["bb"])
    store = FeatureStore.open(out)
    assert store.shortfall["own"] == {}
    assert store.shortfall["msvd"]["expected"] == {"test videos": 2, "test captions": 3}
    assert store.shortfall["msvd"]["found"] == {"test videos": 1, "test captions": 1}
    assert store.shortfall["msvd"]["first_missing"] == ["bb"]
    drop_videos(out, ["a"])
    lacks = FeatureStore.open(out).shortfall["msvd"]
    assert lacks["expected"] == {"test videos": 2, "test captions": 3, "train videos": 1, "train captions": 1}
    assert (lacks["missing_videos"], lacks["first_missing"]) == (2, ["bb", "a"])


def test_frames_without_captions_and_captions_without_frames(make_shard: ShardMaker, tmp_path: Path) -> None:
    frames = fill(tmp_path / "frames", make_shard(["a", "bb"], None))
    drop_videos(frames, ["a"])
    assert FeatureStore.open(frames).video_ids == ["bb"]
    texts = fill(tmp_path / "texts", make_shard(None, KEYS))
    drop_videos(texts, ["bb"])
    assert sorted(FeatureStore.open(texts).caption_video_ids) == ["a", "ccc", "lost"]


def _drop_and_die(out: Path, step: int) -> None:
    left = [step]

    def dying(real: Callable) -> Callable:
        def call(*arguments: object, **options: object) -> object:
            if not left[0]:
                os._exit(9)
            left[0] -= 1
            return real(*arguments, **options)

        return call

    for name in ("replace", "unlink", "rmdir", "open", "fsync"):
        setattr(os, name, dying(getattr(os, name)))
    drop_videos(out, ["bb"])


@pytest.mark.soak
@pytest.mark.parametrize("name", ["store", "s.h5"])
def test_killed_at_every_step(
    make_shard: ShardMaker, tmp_path: Path, name: str, soak_count: Callable[[int, int], int]
) -> None:
    hashes = set()
    for step in range(0, 200, soak_count(5, 1)):
        out = fill(tmp_path / str(step) / name, make_shard(["a", "bb"], KEYS))
        before = FeatureStore.open(out).content_hash
        child = multiprocessing.get_context("fork").Process(target=_drop_and_die, args=(out, step))
        child.start()
        child.join(60)
        found = FeatureStore.open(out)
        assert found.content_hash == before or found.video_ids == ["a"], "at once, or not at all"
        drop_videos(out, ["bb"])
        hashes.add(FeatureStore.open(out).content_hash)
        assert not list(tmp_path.rglob("*.tmp.*"))
        if child.exitcode == 0:
            break
    assert len(hashes) == 1
    assert step > 10


def test_the_command(out: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "ids.txt").write_text("bb\n\nlost\n")
    main(["drop", str(out), "--list", str(tmp_path / "ids.txt")], standalone_mode=False)
    said = capsys.readouterr().out
    assert said.startswith("dropped 1 video, 1 that had failed, 3 captions\n")
    assert f"{out}: 2 videos, 2 captions, content " in said
    for arguments, message in (
        ([out], "there is nothing to drop; give ids of videos, or --list FILE"),
        ([out, "--list", tmp_path], "cannot be read .Is a directory.; give a text file"),
        ([out, "--list", tmp_path / "no"], "cannot be read .No such file or directory.; give a text file"),
    ):
        with pytest.raises(CamoeError, match=message):
            main(["drop", *map(str, arguments)], standalone_mode=False)
