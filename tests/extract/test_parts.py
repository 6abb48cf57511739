"""Extraction cut into parts, on one machine or many: the store is the same, however it came about."""

from __future__ import annotations

import csv
import hashlib
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from camoe.extract.cli import report
from camoe.extract.config import ExtractConfig
from camoe.extract.ffmpeg import inspect_binary
from camoe.extract.frames import FrameCounts, FrameWork, extract_chunk
from camoe.extract.run import Extraction, extract
from camoe.pipeline.captions.names import VideoItem
from camoe.pipeline.errors import CamoeError
from camoe.pipeline.ffmpeg_binary import find_ffmpeg
from camoe.pipeline.store import FeatureStore
from camoe.pipeline.store.chunks import make_chunks
from camoe.pipeline.store.drop import drop_videos
from camoe.pipeline.store.place import Place
from camoe.pipeline.store.plan import Plan, planned_now
from camoe.pipeline.store.verify import verify_store

FORK = multiprocessing.get_context("fork")
COLOURS = ("red", "green", "blue", "yellow", "purple", "orange", "pink", "white", "gray")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, make_video) -> Path:
    """Nine clips of one to three seconds, one file that is no video, and captions with a split."""
    folder = tmp_path_factory.mktemp("world")
    (folder / "videos").mkdir()
    rows = []
    for number, colour in enumerate(COLOURS):
        source = ("-f", "lavfi", "-i", f"color={colour}:size=64x48:rate=5:duration={1 + number % 3}")
        make_video(folder / "videos" / f"{colour}.mp4", "-c:v", "libx264", "-pix_fmt", "yuv420p", source=source)
        split = ("train", "val", "test")[number % 3]
        rows += [(colour, f"a {colour} circle", split), (colour, f"the {colour} square rises", split)]
    (folder / "videos" / "broken.mp4").write_bytes(b"")
    with open(folder / "captions.csv", "w", newline="") as stream:
        csv.writer(stream).writerows([("video_id", "caption", "split"), *rows])
    return folder


def config(world: Path, out: Path, **changes: object) -> ExtractConfig:
    values: dict = {
        "videos": world / "videos", "captions": world / "captions.csv", "out": out, "clip": "tiny", "device": "cpu",
        "precision": "fp32", "shard_size": 2, "workers": 1, "batch_size": 4,
    }  # fmt: skip
    return ExtractConfig(**(values | changes))


def part(world: Path, out: Path, number: int, count: int, **changes: object) -> Extraction:
    return extract(config(world, out, part=f"{number}/{count}", **changes))


@pytest.fixture(scope="module")
def one_go(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "store"
    extract(config(world, out))
    return out


def contents(store: Path) -> dict[str, str]:
    """Name and SHA-256 of everything that is there but locks."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(store.iterdir())
        if not path.name.startswith(".")
    }


def test_what_is_there_after_one_go(world: Path, one_go: Path) -> None:
    frames = [f"frames-{chunk:05d}.h5" for chunk in range(5)]
    assert list(contents(one_go)) == ["SHA256SUMS", "failures.csv", *frames, "plan.jsonl", "texts-00000.h5"]
    store = FeatureStore.open(one_go)
    assert len(store.video_ids) == 9
    assert [shard.order for shard in store.shards if shard.kind == "frames"] == [1, 2, 3, 4, 5]


# -- the same store, to the byte


def test_eight_parts_one_after_another(world: Path, tmp_path: Path, one_go: Path) -> None:
    """Each on a machine that knows the folder of videos under another name."""
    for number in range(8, 0, -1):
        mounted = tmp_path / f"machine-{number}"
        mounted.symlink_to(world)
        done = part(mounted, tmp_path / "store", number, 8)
        assert done.part is not None
        assert (done.part.chunks, done.part.own) == (5, int(number <= 5))
    assert done.part.left == 0
    assert contents(tmp_path / "store") == contents(one_go)
    assert verify_store([tmp_path / "store"]) == []
    assert "part 1/8 of" in report(done)
    assert report(done).endswith("1 of 5 chunks are its own; all chunks are made")


def _part(world: Path, out: Path, number: int, count: int) -> None:
    part(world, out, number, count)


def _together(world: Path, out: Path, count: int) -> list[multiprocessing.Process]:
    return [FORK.Process(target=_part, args=(world, out, number + 1, count)) for number in range(count)]


def test_three_parts_at_once(world: Path, tmp_path: Path, one_go: Path) -> None:
    processes = _together(world, tmp_path / "store", 3)
    for process in processes:
        process.start()
    for process in processes:
        process.join(300)
        assert process.exitcode == 0
    assert contents(tmp_path / "store") == contents(one_go)
    assert sorted(path.name for path in (tmp_path / "store").glob(".*")) == [".lock"]


def test_commands_at_once_with_other_numbers_of_parts(world: Path, tmp_path: Path, one_go: Path) -> None:
    """Console commands, as on machines that share a folder; overlapping parts leave each other's chunks alone."""
    command = [sys.executable, "-c", "from camoe.extract.cli import main; main()", "--videos", str(world / "videos")]
    command += ["--captions", str(world / "captions.csv"), "--out", str(tmp_path / "store"), "--clip", "tiny"]
    command += ["--device", "cpu", "--precision", "fp32", "--shard-size", "2", "--workers", "1", "--batch-size", "4"]
    runs = [
        subprocess.Popen([*command, "--part", text], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for text in ("1/2", "1/3")
    ]
    for run in runs:
        said, complaint = run.communicate(timeout=300)
        assert run.returncode in (0, 3), complaint
        assert "chunks are its own" in said
    part(world, tmp_path / "store", 2, 2)
    assert contents(tmp_path / "store") == contents(one_go)


def test_the_number_of_parts_may_change(world: Path, tmp_path: Path, one_go: Path) -> None:
    store = tmp_path / "store"
    assert part(world, store, 2, 3, shard_size=2).frames.ok == 4
    assert part(world, store, 1, 2, shard_size=9).frames.ok == 3, "what is planned stays, whatever --shard-size"
    assert part(world, store, 2, 2, shard_size=1).frames.ok == 2
    done = part(world, store, 2, 2)
    assert (done.frames, done.part.left if done.part else None) == (FrameCounts(), 0)
    assert extract(config(world, store)).frames == FrameCounts()
    assert contents(store) == contents(one_go)


def test_a_single_file_is_made_by_a_run_without_part(world: Path, tmp_path: Path, one_go: Path) -> None:
    out = tmp_path / "s.h5"
    for number in (2, 1):
        done = part(world, out, number, 2)
    assert not out.exists()
    assert report(done).endswith("all chunks are made: run once without --part to make the file of them")
    assert extract(config(world, out)).frames == FrameCounts()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.failures.csv", "s.h5", "s.h5.sha256"]
    extract(config(world, tmp_path / "clean.h5"))
    assert out.read_bytes() == (tmp_path / "clean.h5").read_bytes()
    assert FeatureStore.open(out).content_hash == FeatureStore.open(one_go).content_hash


def test_no_time_no_root_no_cut_matters(world: Path, tmp_path: Path, one_go: Path) -> None:
    shutil.copytree(world, tmp_path / "elsewhere")
    for path in (tmp_path / "elsewhere" / "videos").iterdir():
        os.utime(path, (1, 1))
    (tmp_path / "elsewhere" / "videos" / "broken.mp4").unlink()
    store = tmp_path / "store"
    extract(config(tmp_path / "elsewhere", store, shard_size=4))
    assert FeatureStore.open(store).content_hash == FeatureStore.open(one_go).content_hash
    half = tmp_path / "half"
    part(world, half, 1, 2)
    part(tmp_path / "elsewhere", half, 2, 2)
    extract(config(tmp_path / "elsewhere", half))
    assert FeatureStore.open(half).content_hash == FeatureStore.open(one_go).content_hash


# -- kills


@pytest.mark.soak
def test_parts_killed_at_random(
    world: Path, tmp_path: Path, one_go: Path, soak_count: Callable[[int, int], int]
) -> None:
    """Three parts at once, killed again and again with -9; then each to its end."""
    out, draw = tmp_path / "store", random.Random(0)
    seen: dict[Path, int] = {}
    for _ in range(soak_count(3, 60)):
        processes = _together(world, out, 3)
        for process in processes:
            process.start()
        time.sleep(draw.uniform(0.1, 2.0))
        for process in processes:
            assert process.pid is not None
            os.kill(process.pid, signal.SIGKILL)
            process.join()
        for shard in out.glob("*.h5"):
            modified = shard.stat().st_mtime_ns
            assert seen.setdefault(shard, modified) == modified, "a finished shard is not touched"
            FeatureStore.open(shard)
    for number in (1, 2, 3):
        part(world, out, number, 3)
    extract(config(world, out))
    assert contents(out) == contents(one_go)


def test_a_part_killed_in_a_chunk_is_done_by_another(world: Path, tmp_path: Path, one_go: Path) -> None:
    slow = tmp_path / "ffmpeg"  # quick for the first few videos
    quick = " || ".join([*(f"mkdir {tmp_path}/{number}" for number in range(4)), "sleep 30"])
    slow.write_text(f'#!/bin/sh\ncase "$*" in *showinfo*) {quick};; esac 2>/dev/null\nexec {find_ffmpeg(None)} "$@"\n')
    slow.chmod(0o755)
    out = tmp_path / "store"
    process = FORK.Process(target=extract, args=(config(world, out, part="1/1", ffmpeg=str(slow)),))
    process.start()
    try:
        while not list(out.glob("frames-*.h5")):
            time.sleep(0.01)
        with pytest.raises(CamoeError, match=r"another run is writing to .*store; wait for it to end"):
            extract(config(world, out))
        done = part(world, out, 1, 1, captions=None)
        assert done.frames.elsewhere > 0
        assert "left to another run that has begun them" in report(done)
    finally:
        process.kill()
        process.join()
    extract(config(world, out))
    assert contents(out) == contents(one_go)


# -- what is mended


def test_retries_by_parts_are_supplements(world: Path, tmp_path: Path) -> None:
    shutil.copytree(world, tmp_path / "world")
    videos, good = tmp_path / "world" / "videos", (world / "videos" / "green.mp4").read_bytes()
    for name in ("green", "white"):
        (videos / f"{name}.mp4").write_bytes(b"")
    out = tmp_path / "store"
    extract(config(tmp_path / "world", out))
    plan = Plan.read(Place.of(out))
    before = contents(out)
    for number in (1, 2, 3):
        part(tmp_path / "world", out, number, 3, retry_failed=True)
    assert contents(out) == before, "what fails as before is told already"
    for name in ("broken", "green", "white"):
        (videos / f"{name}.mp4").write_bytes(good)
    others = {plan.videos[name].chunk % 3 for name in ("broken", "green", "white")}
    assert len(others) > 1, "what one part has read again, another has still to read"
    for number in (3, 2, 1):
        done = part(tmp_path / "world", out, number, 3, retry_failed=True)
        assert (done.failed, done.exit_status) == (0, 0), "what others are at is no failure of this part"
        left = len(FeatureStore.open(out).failures)
        assert (f"\nvideos of other parts that could not be read, or not whole, so far: {left}\n" in report(done)) == (
            left > 0
        )
    after = FeatureStore.open(out)
    assert (len(after.video_ids), after.failures) == (10, {})
    new = set(contents(out)) - set(before)
    assert new == {f"frames-{plan.videos[name].chunk:05d}.1.h5" for name in ("broken", "green", "white")}
    assert {name: value for name, value in contents(out).items() if name in before and name.startswith("frames")} == {
        name: value for name, value in before.items() if name.startswith("frames")
    }
    extract(config(tmp_path / "world", tmp_path / "fresh"))
    assert after.content_hash == FeatureStore.open(tmp_path / "fresh").content_hash


def test_videos_that_change_and_come_back(world: Path, tmp_path: Path) -> None:
    """Replaced again and again, gone before it was made, and back: always what is in the folder."""
    shutil.copytree(world, tmp_path / "world")
    videos, out = tmp_path / "world" / "videos", tmp_path / "store"
    part(tmp_path / "world", out, 1, 2)
    plan = Plan.read(Place.of(out))
    left = [video.id for video in plan.videos.values() if video.chunk % 2]
    made = next(video.id for video in plan.videos.values() if not video.chunk % 2 and video.id != "broken")
    aside = (videos / f"{left[0]}.mp4").rename(tmp_path / "aside.mp4")
    (videos / f"{left[1]}.mp4").write_bytes((world / "videos" / "red.mp4").read_bytes())
    extract(config(tmp_path / "world", out))
    assert left[0] not in FeatureStore.open(out).video_ids
    aside.rename(videos / f"{left[0]}.mp4")
    for colour in ("green", "blue"):
        (videos / f"{made}.mp4").write_bytes((world / "videos" / f"{colour}.mp4").read_bytes())
        with pytest.raises(CamoeError, match=f"{made}.mp4 has changed since it was extracted"):
            extract(config(tmp_path / "world", out, replace_changed=False))
        extract(config(tmp_path / "world", out, replace_changed=True))
    extract(config(tmp_path / "world", tmp_path / "fresh"))
    assert FeatureStore.open(out).content_hash == FeatureStore.open(tmp_path / "fresh").content_hash
    chunks = {name: video.chunk for name, video in Plan.read(Place.of(out)).videos.items()}
    assert chunks == {name: video.chunk for name, video in plan.videos.items()}


# -- one chunk, anywhere


def test_a_chunk_is_a_function_of_picklable_arguments(world: Path, tmp_path: Path, one_go: Path) -> None:
    """In a process that shares nothing with this one, beside a chunk that somebody else is making."""
    place = Place.of(tmp_path / "store")
    place.folder.mkdir()
    root = world / "videos"
    items = [VideoItem(path.stem, path) for path in sorted(root.iterdir())]
    chunks = make_chunks(planned_now(place, None, items, root, chunk_size=2), [i.id for i in items], None)
    shard = next(shard for shard in FeatureStore.open(one_go).shards if shard.kind == "frames")
    binary = inspect_binary(find_ffmpeg(None))
    work = FrameWork(place, shard.settings, root, binary, "tiny", None, "cpu", 60.0, 2, 4)
    claim = place.claim(1)
    assert claim is not None
    for chunk in chunks[:2]:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as child:
            counts = child.submit(extract_chunk, work, chunk).result(timeout=120)
        assert counts == (FrameCounts(elsewhere=2) if chunk.number else FrameCounts(ok=1, failed=1, frames=3))
    claim.release()
    assert sorted(contents(place.folder)) == ["SHA256SUMS", "frames-00000.h5"]
    made, expected = (folder / "frames-00000.h5" for folder in (place.folder, one_go))
    assert made.read_bytes() == expected.read_bytes()


def test_a_worker_with_another_model_is_refused(one_go: Path, world: Path) -> None:
    settings = FeatureStore.open(one_go).settings
    binary = inspect_binary(find_ffmpeg(None))
    work = FrameWork(Place.of(one_go), settings, world, binary, "tiny", None, "cpu", 60.0, 1, 4)
    from dataclasses import replace

    with pytest.raises(CamoeError, match="the weights of tiny here have the SHA-256"):
        replace(work, settings=replace(settings, clip_sha256="ab" * 32)).worker()


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "1/0", "a/b", "-1/2", "1/2/3"])
def test_parts_that_are_none(tmp_path: Path, text: str) -> None:
    with pytest.raises(CamoeError, match="should be I/N with I from 1 to N, as 1/8 to 8/8"):
        ExtractConfig(videos=tmp_path, part=text)


# -- growing and shrinking


@pytest.mark.parametrize("name", ["s.h5", "store"])
def test_dropped_videos_stay_out(world: Path, tmp_path: Path, name: str) -> None:
    """The store equals one that is made without them, also when the same command is given again and data are added."""
    shutil.copytree(world, tmp_path / "world")
    videos, out = tmp_path / "world" / "videos", tmp_path / name
    late = (videos / "white.mp4").rename(tmp_path / "white.mp4")
    extract(config(tmp_path / "world", out))
    drop_videos(out, ["blue", "broken"])
    late.rename(videos / "white.mp4")
    done = extract(config(tmp_path / "world", out))
    assert (done.frames.ok, done.failed) == (1, 0)
    assert done.skipped_captions == {"its video was dropped from the store": 2}
    for gone in ("blue", "broken"):
        (videos / f"{gone}.mp4").unlink()
    again = extract(config(tmp_path / "world", out, retry_failed=True))
    assert again.skipped_captions == {"its video was dropped from the store": 2}
    extract(config(tmp_path / "world", tmp_path / "fresh"))
    assert FeatureStore.open(out).content_hash == FeatureStore.open(tmp_path / "fresh").content_hash
    assert FeatureStore.open(out).dropped == ["blue", "broken"]


def test_a_store_of_the_first_version_grows_by_a_plan(world: Path, tmp_path: Path) -> None:
    first = Path(__file__).parent.parent / "fixtures" / "camoe-0.1.0" / "folder"
    shutil.copytree(first, tmp_path / "old")
    before = FeatureStore.open(tmp_path / "old")
    settings = before.settings
    (tmp_path / "videos").mkdir()
    for name in ("new1", "new2", "new3"):
        shutil.copy(world / "videos" / "red.mp4", tmp_path / "videos" / f"{name}.mp4")
    changes: dict = {"videos": tmp_path / "videos", "captions": None, "precision": settings.precision}
    changes |= {"fps": settings.fps, "max_frames": settings.max_frames, "sampling": settings.sampling}
    for number in (2, 1):
        part(world, tmp_path / "old", number, 2, **changes)
    after = FeatureStore.open(tmp_path / "old")
    assert set(after.video_ids) == {*before.video_ids, "new1", "new2", "new3"}
    assert list(after.failures) == list(before.failures)
    plan = Plan.read(Place.of(tmp_path / "old"))
    assert plan.videos["new3"].chunk == 1 + max(plan.videos[name].chunk for name in before.video_ids) + 1
    assert verify_store([tmp_path / "old"]) == []
