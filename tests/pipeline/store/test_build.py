"""Stores in the making: one writer, continued runs, changed settings, full disks, kills."""

from __future__ import annotations

import hashlib
import importlib.util
import multiprocessing
import random
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest
from camoe.pipeline.checksum import file_sha256
from camoe.pipeline.errors import CamoeError, RunStoppedError
from camoe.pipeline.store import FeatureStore, Shard, StoreError, shard_bytes
from camoe.pipeline.store.build import StoreBuilder
from camoe.pipeline.store.failures import read_failures
from camoe.pipeline.store.inventory import Source
from camoe.pipeline.store.manifest import manifest_path, read_manifest
from camoe.pipeline.store.merge import merge_stores
from camoe.pipeline.store.schema import FAILED, PARTIAL, Failure, Removed, no_videos
from dying import DIED, status_of

ShardMaker = Callable[..., Shard]
WRITER = [sys.executable, str(Path(__file__).with_name("write_store.py"))]
FORK = multiprocessing.get_context("fork")
LOST = Failure("lost", "lost.mp4", FAILED, "empty")
KEYS = [("a", "0", "a man"), ("b", "0", "a dog")]


def fill(out: Path, *shards: Shard, adding: bool = False) -> StoreBuilder:
    with StoreBuilder(out, shards[0].settings, adding=adding) as builder:
        for shard in shards:
            builder.publish(shard)
        builder.finish()
    return builder


def state(folder: Path) -> dict[str, tuple[str, int]]:
    """Content and time of every file, to see that nothing was touched."""
    return {
        str(path.relative_to(folder)): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# -- the two forms


def test_a_folder(make_shard: ShardMaker, tmp_path: Path) -> None:
    out = tmp_path / "store"
    fill(out, make_shard(["a", "b"], None), make_shard(None, KEYS), make_shard(["c"], None))
    names = ["frames-00000.h5", "frames-00001.h5", "texts-00000.h5"]
    assert sorted(path.name for path in out.iterdir()) == [".lock", "SHA256SUMS", *names]
    assert list(read_manifest(out / "SHA256SUMS")) == names
    assert subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=out, check=False).returncode == 0
    assert FeatureStore.open(out).video_ids == ["a", "b", "c"]


def test_a_single_file(make_shard: ShardMaker, tmp_path: Path) -> None:
    fill(tmp_path / "s.h5", make_shard(["a", "b"], None), make_shard(None, KEYS), make_shard(["c"], None))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.h5", "s.h5.sha256"]
    assert subprocess.run(["sha256sum", "--check", "--quiet", "s.h5.sha256"], cwd=tmp_path, check=False).returncode == 0
    store = FeatureStore.open(tmp_path / "s.h5")
    assert store.video_ids == ["a", "b", "c"]
    assert store.shards[0].kind == "both"
    fill(tmp_path / "folder", make_shard(["a", "b", "c"], KEYS))
    assert FeatureStore.open(tmp_path / "folder").content_hash == store.content_hash


@pytest.mark.parametrize("name", ["s.h5", "store"])
def test_checksums_that_were_deleted_are_made_again(make_shard: ShardMaker, tmp_path: Path, name: str) -> None:
    fill(tmp_path / name, make_shard(["a", "b"], None))
    shard = FeatureStore.open(tmp_path / name).shards[0].path
    manifest = manifest_path(shard)
    whole = read_manifest(manifest)
    manifest.unlink()
    with StoreBuilder(tmp_path / name, make_shard(["a"], None).settings) as builder:
        builder.finish()
    assert read_manifest(manifest) == whole == {shard.name: file_sha256(shard)}


def test_more_is_added_beside_and_finished_shards_are_untouched(make_shard: ShardMaker, tmp_path: Path) -> None:
    out = tmp_path / "store"
    fill(out, make_shard(["a"], None))
    before = state(out)
    with StoreBuilder(out, make_shard(["b"], None).settings) as builder:
        assert list(builder.inventory.videos) == ["a"]
        assert builder.inventory.videos["a"] == Source(0, 1.0, "")
        builder.publish(make_shard(["b"], None))
        builder.finish()
    after = state(out)
    assert after["frames-00000.h5"] == before["frames-00000.h5"]
    assert sorted(after) == [".lock", "SHA256SUMS", "frames-00000.h5", "frames-00001.h5"]


def test_another_strategy_into_a_single_file(make_shard: ShardMaker, tmp_path: Path) -> None:
    out = tmp_path / "s.h5"
    fill(out, make_shard(["a", "b"], KEYS, strategies=("full",)))
    more = make_shard(None, KEYS, strategies=("muw",))
    with pytest.raises(CamoeError, match=r"strategies are full in the store and muw asked for \(--into adds\)"):
        fill(out, more)
    with StoreBuilder(out, more.settings, adding=True) as builder:
        assert builder.inventory.has_texts(("full", "fusion"), ("a", "0"))
        assert not builder.inventory.has_texts(("muw", "entity"), ("a", "0"))
        builder.publish(more)
        builder.finish()
    store = FeatureStore.open(out)
    assert store.text_names == [("full", "fusion"), ("muw", "entity")]
    assert store.settings.strategies == ("full", "muw")
    assert store.video_ids == ["a", "b"]


# -- refusals


@pytest.mark.parametrize("name", ["store", "s.h5"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fps": 2.0}, "fps is 1.0 in the store and 2.0 asked for"),
        ({"max_frames": 6}, "max_frames is 4 in the store and 6 asked for"),
        ({"sampling": "head"}, "sampling is uniform in the store and head asked for"),
        ({"precision": "fp16"}, "precision is fp32 in the store and fp16 asked for"),
        ({"clip_model": "ViT-B/16"}, "clip_model is ViT-B/32 in the store and ViT-B/16 asked for"),
        ({"clip_sha256": "00"}, "clip_sha256 is abab.* in the store and 00 asked for"),
        ({"tagger": "rules"}, "tagger is hanta in the store and rules asked for"),
        ({"streams": {"entity": "NOUN,ADJ"}}, "stream entity is NOUN in the store and NOUN,ADJ asked for"),
    ],
)
def test_changed_settings_are_refused(
    make_shard: ShardMaker, tmp_path: Path, name: str, change: dict, message: str
) -> None:
    out = tmp_path / name
    fill(out, make_shard(["a"], KEYS))
    before = state(tmp_path)
    settings = replace(make_shard().settings, **change)
    with (
        pytest.raises(CamoeError, match=f"{name} was made with other settings: .*{message}"),
        StoreBuilder(out, settings),
    ):
        pass
    assert state(tmp_path) == before
    assert not (tmp_path / "s.h5.parts").exists()


def test_places_that_cannot_be_stores(make_shard: ShardMaker, tmp_path: Path) -> None:
    settings = make_shard().settings
    (tmp_path / "d.h5").mkdir()
    (tmp_path / "file").write_text("x")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "me.jpg").write_text("x")
    for name, message in (
        ("d.h5", r"d\.h5 is a folder; give a file name"),
        ("file", "file is a file; name the store NAME.h5, or give a folder"),
        ("photos", r"photos holds other things \(me\.jpg\); give a new or empty folder"),
        ("file/store", "cannot be written|is not"),
    ):
        before = state(tmp_path)
        with pytest.raises(CamoeError, match=message), StoreBuilder(tmp_path / name, settings):
            pass
        assert state(tmp_path) == before


def test_nothing_is_left_where_nothing_came_of_it(make_shard: ShardMaker, tmp_path: Path) -> None:
    for name in ("store", "s.h5"):
        with StoreBuilder(tmp_path / name, make_shard().settings):
            pass
    assert list(tmp_path.iterdir()) == []
    with (
        StoreBuilder(tmp_path / "s.h5", make_shard().settings) as builder,
        pytest.raises(CamoeError, match="there is nothing to write"),
    ):
        builder.finish()


def test_a_missing_shard_is_named(make_shard: ShardMaker, tmp_path: Path) -> None:
    out = tmp_path / "store"
    fill(out, make_shard(["a"], None), make_shard(["b"], None))
    (out / "frames-00000.h5").unlink()
    with (
        pytest.raises(CamoeError, match=r"store lacks frames-00000\.h5, which its SHA256SUMS lists"),
        StoreBuilder(out, make_shard().settings),
    ):
        pass


# -- what killed runs leave


def test_leftovers_are_removed_and_unlisted_shards_counted(make_shard: ShardMaker, tmp_path: Path) -> None:
    out = tmp_path / "store"
    fill(out, make_shard(["a"], None))
    (out / "frames-00001.h5.tmp.123").write_bytes(b"half")
    (out / "frames-00001.h5").write_bytes(shard_bytes(make_shard(["b"], None)))
    with StoreBuilder(out, make_shard().settings) as builder:
        assert sorted(builder.inventory.videos) == ["a", "b"]
        builder.publish(make_shard(["c"], None))
        builder.finish()
    assert sorted(read_manifest(out / "SHA256SUMS")) == ["frames-00000.h5", "frames-00001.h5", "frames-00002.h5"]
    assert not list(out.glob("*.tmp.*"))


def test_killed_at_every_step(make_shard: ShardMaker, tmp_path: Path) -> None:
    """The process dies at the n-th change of the file system; the same command then ends in the same store."""
    shards = [make_shard(["a", "b"], None), make_shard(None, KEYS), make_shard(["c"], None)]
    fill(tmp_path / "clean.h5", *shards)
    expected = (tmp_path / "clean.h5").read_bytes()
    for step in range(200):
        out = tmp_path / f"step{step}" / "s.h5"
        out.parent.mkdir()
        status = status_of(step, partial(fill, out, *shards))
        if status == 0:
            break
        assert status == DIED
        with StoreBuilder(out, shards[0].settings, adding=True) as builder:
            for shard in shards:
                if shard.videos is None:
                    if not builder.inventory.has_texts(("full", "fusion"), ("a", "0")):
                        builder.publish(shard)
                elif shard.videos.id[0] not in builder.inventory.videos:
                    builder.publish(shard)
            builder.finish()
        assert out.read_bytes() == expected, step
        assert sorted(path.name for path in out.parent.iterdir()) == ["s.h5", "s.h5.sha256"], step
    assert step > 20


# -- failures.csv


def test_failures_are_recorded_in_shards_and_shown(make_shard: ShardMaker, tmp_path: Path) -> None:
    bad, half = Failure("é,1", "a/é,1.mp4", FAILED, 'no "video"\nstream'), Failure("b", "b.mp4", PARTIAL, "cut")
    for name in ("s.h5", "store"):
        out = tmp_path / name
        fill(out, replace(make_shard(["b"], None), failures=(bad, half)))
        assert FeatureStore.open(out).failures == {"b": half, "é,1": bad}
        shown = tmp_path / "s.failures.csv" if name == "s.h5" else out / "failures.csv"
        assert read_failures(shown) == {"b": half, "é,1": bad}
        assert shown.read_text().startswith("id,path,stage,reason\nb,b.mp4,damaged,cut\n")
        shown.write_text("id,path,stage,reason\nother,other.mp4,decode,told by nobody\n")
        with StoreBuilder(out, make_shard().settings) as builder:
            assert builder.inventory.failed == {"é,1"}
            mended = replace(make_shard(["b", "é,1"], None), removed=Removed(videos=("b",)))
            builder.publish(mended)
            builder.finish()
        assert not shown.exists()
        assert FeatureStore.open(out).video_ids == ["b", "é,1"]


def test_only_failures_make_a_store(make_shard: ShardMaker, tmp_path: Path) -> None:
    lost = Failure("a", "a.mp4", FAILED, "empty")
    for name in ("s.h5", "store"):
        settings = make_shard(["a"], None).settings
        fill(tmp_path / name, Shard(settings, videos=no_videos(settings), failures=(lost,)))
        store = FeatureStore.open(tmp_path / name)
        assert (store.video_ids, store.failures) == ([], {"a": lost})


# -- later shards speak for earlier ones


@pytest.mark.parametrize("name", ["s.h5", "store"])
def test_what_is_removed_no_longer_counts(make_shard: ShardMaker, tmp_path: Path, name: str) -> None:
    """A replaced video, a dropped one, a corrected caption and a dropped one: as if they had never been otherwise."""
    old = make_shard(["a", "b", "c"], [*KEYS, ("c", "0", "a cat")])
    new = make_shard(["bb", "b"], [("b", "0", "two dogs")])
    corrected = replace(new, removed=Removed(videos=("b", "c"), captions=(("b", "0"), ("c", "0"))))
    fill(tmp_path / name, old)
    fill(tmp_path / name, corrected)
    fill(tmp_path / "clean.h5", make_shard(["a", "bb"], [KEYS[0]]), make_shard(["b"], [("b", "0", "two dogs")]))
    store, clean = FeatureStore.open(tmp_path / name), FeatureStore.open(tmp_path / "clean.h5")
    assert store.video_ids == ["a", "b", "bb"]
    assert store.caption_texts == ["a man", "two dogs"]
    assert store.content_hash == clean.content_hash
    assert store.text_table("muw", "entity").sentence == clean.text_table("muw", "entity").sentence
    merge_stores([tmp_path / name], tmp_path / "merged")
    merged = FeatureStore.open(tmp_path / "merged")
    assert merged.content_hash == clean.content_hash
    assert not any(shard.removed.videos or shard.removed.captions for shard in merged.shards)


def test_removals_speak_of_their_own_store_only(make_shard: ShardMaker, tmp_path: Path) -> None:
    fill(tmp_path / "one", make_shard(["a"], None))
    settings = make_shard(["a"], None).settings
    fill(tmp_path / "two", make_shard(["b"], None))
    fill(tmp_path / "two", Shard(settings, videos=no_videos(settings), removed=Removed(videos=("a", "b"))))
    assert FeatureStore.open([tmp_path / "one", tmp_path / "two"]).video_ids == ["a"]


# -- other processes


@pytest.fixture(scope="session")
def writer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("write_store", WRITER[1])
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_writer(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    command = [*WRITER, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **options)  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize("name", ["store", "s.h5"])
def test_a_second_writer_is_refused(tmp_path: Path, name: str) -> None:
    out = tmp_path / name
    first = subprocess.Popen([*WRITER, str(out), "--hold"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert first.stdout is not None
    assert first.stdout.readline() == "locked\n"
    second = run_writer(out)
    assert second.returncode == 2
    assert second.stderr == f"another run is writing to {out}; wait for it to end\n"
    first.communicate("go\n", timeout=60)
    assert first.returncode == 0
    assert len(FeatureStore.open(out).video_ids) == 60
    assert run_writer(out).returncode == 0


def test_a_full_disk_leaves_finished_shards_intact(tmp_path: Path) -> None:
    out = tmp_path / "store"
    assert run_writer(out, "--videos", 5).returncode == 0
    before = state(out)
    stopped = run_writer(out, "--videos", 200, "--size", 195, "--limit", 60_000)
    assert stopped.returncode == 1
    assert "frames-00001.h5 could not be written (File too large); the finished shards are intact" in stopped.stderr
    assert state(out) == before
    assert run_writer(out, "--videos", 200, "--size", 100).returncode == 0
    assert len(FeatureStore.open(out).video_ids) == 200


def test_a_full_disk_during_the_merge(tmp_path: Path) -> None:
    out = tmp_path / "s.h5"
    stopped = run_writer(out, "--videos", 200, "--size", 40, "--limit", 50_000)
    assert stopped.returncode == 1
    assert "s.h5 could not be written (File too large); its parts in " in stopped.stderr
    assert "are intact: make room and run the same command again" in stopped.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.h5.parts"]
    assert len(FeatureStore.open(tmp_path / "s.h5.parts").video_ids) == 200
    published = state(tmp_path / "s.h5.parts")
    assert run_writer(out, "--videos", 200).stdout == "locked\n", "nothing was written twice"
    assert len(published) == 8
    assert run_writer(tmp_path / "clean.h5", "--videos", 200).returncode == 0
    assert out.read_bytes() == (tmp_path / "clean.h5").read_bytes()


@pytest.mark.parametrize(("write", "message"), [("os.replace", "Input/output"), ("os.fsync", "Input/output")])
def test_failing_calls_publish_nothing(
    make_shard: ShardMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: str, message: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(5, "Input/output error")

    with StoreBuilder(tmp_path / "store", make_shard().settings) as builder:
        builder.publish(make_shard(["a"], None))
        with monkeypatch.context() as patched:
            patched.setattr(write, refuse)
            with pytest.raises(RunStoppedError, match=message):
                builder.publish(make_shard(["b"], None))
    assert sorted(path.name for path in (tmp_path / "store").glob("*.h5*")) == ["frames-00000.h5"]


@pytest.mark.soak
@pytest.mark.parametrize("name", ["store", "s.h5"])
def test_kills_at_random_moments(
    writer: ModuleType, tmp_path: Path, name: str, soak_count: Callable[[int, int], int]
) -> None:
    """Kills in a row; every published name verifies, and the last run ends in what a clean run makes."""
    out = tmp_path / name
    folder = tmp_path / "s.h5.parts" if name == "s.h5" else out
    draw = random.Random(0)
    killed, longest = 0, 0.3
    while killed < soak_count(10, 100):
        process = FORK.Process(target=writer.fill, args=(out, 24, 1))
        process.start()
        time.sleep(draw.uniform(0, longest))
        process.kill()
        process.join(60)
        if process.exitcode == 0:
            longest *= 0.8
            if out.is_file():
                out.unlink()
            for path in folder.glob("*") if folder.is_dir() else ():
                path.unlink()
            continue
        killed += 1
        check_published(out, folder)
    assert run_writer(out, "--videos", 24).returncode == 0
    assert run_writer(tmp_path / f"clean-{name}", "--videos", 24).returncode == 0
    clean, store = FeatureStore.open(tmp_path / f"clean-{name}"), FeatureStore.open(out)
    assert store.content_hash == clean.content_hash
    assert store.video_ids == clean.video_ids
    assert not list(tmp_path.rglob("*.tmp.*"))


def check_published(out: Path, folder: Path) -> None:
    """All that has a final name can be read whole and has the checksum that is listed."""
    for path in [*folder.glob("*.h5"), *([out] if out.is_file() else [])]:
        store = FeatureStore.open(path)
        if store.video_ids:
            store.frames()
        for text in store.text_names:
            store.text_table(*text)
    for listed, digest in read_manifest(folder / "SHA256SUMS").items():
        path = folder / listed
        assert not path.exists() or hashlib.sha256(path.read_bytes()).hexdigest() == digest
    if not out.is_file() and folder.is_dir() and list(folder.glob("*.h5")):
        FeatureStore.open(folder)


def test_settings_of_a_damaged_store_are_not_believed(make_shard: ShardMaker, tmp_path: Path) -> None:
    out = tmp_path / "store"
    fill(out, make_shard(["a"], None))
    (out / "frames-00000.h5").write_bytes(b"\0" * 100)
    with (
        pytest.raises(StoreError, match=r"frames-00000\.h5 cannot be read as a feature store"),
        StoreBuilder(out, make_shard().settings),
    ):
        pass


@pytest.mark.soak
@pytest.mark.parametrize("name", ["merged.h5", "merged"])
def test_merges_killed_at_every_step(
    make_shard: ShardMaker, tmp_path: Path, name: str, soak_count: Callable[[int, int], int]
) -> None:
    """What is left is nothing or the whole, and the same command then ends in the whole and in no leftovers."""
    fill(tmp_path / "store", make_shard(["a", "b"], KEYS), replace(make_shard(["c"], None), failures=(LOST,)))
    expected = FeatureStore.open(tmp_path / "store").content_hash
    for step in range(0, 100, soak_count(7, 1)):
        out = tmp_path / f"{step}" / name
        out.parent.mkdir()
        status_of(step, partial(merge_stores, [tmp_path / "store"], out))
        if not out.exists():
            merge_stores([tmp_path / "store"], out)
        store = FeatureStore.open(out)
        assert (store.content_hash, store.failures) == (expected, {"lost": LOST}), step
        assert not list(out.parent.glob("*.tmp.*")), step


def test_a_link_to_a_store_stays_a_link(make_shard: ShardMaker, tmp_path: Path) -> None:
    for name in ("s.h5", "store"):
        (tmp_path / "real").mkdir(exist_ok=True)
        fill(tmp_path / "real" / name, make_shard(["a"], None))
        (tmp_path / name).symlink_to(tmp_path / "real" / name)
        fill(tmp_path / name, make_shard(["b"], None))
        assert (tmp_path / name).is_symlink()
        assert FeatureStore.open(tmp_path / "real" / name).video_ids == ["a", "b"]


def test_a_merge_that_fails_at_its_end_leaves_nothing(
    make_shard: ShardMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "store", make_shard(["a"], None))

    def refuse(path: Path, *_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("camoe.pipeline.store.merge.write_failures", refuse)
    with pytest.raises(RunStoppedError, match=r"m\.h5 could not be written \(No space left on device\)"):
        merge_stores([tmp_path / "store"], tmp_path / "m.h5")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["store"]
