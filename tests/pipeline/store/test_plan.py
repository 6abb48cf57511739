"""Plans: written once, only added to, by whoever comes first; chunks of which the work is told whole."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from camoe.pipeline.captions.names import VideoItem
from camoe.pipeline.errors import CamoeError
from camoe.pipeline.store import FeatureStore, Shard
from camoe.pipeline.store.build import StoreBuilder
from camoe.pipeline.store.chunks import Chunk, make_chunks
from camoe.pipeline.store.place import Place
from camoe.pipeline.store.plan import (
    Begun,
    Plan,
    chunk_of_name,
    extend_plan,
    planned_now,
    shard_name,
    supplement_of_name,
)
from camoe.pipeline.store.publish import publish_shard
from hypothesis import given
from hypothesis import strategies as st

ShardMaker = Callable[..., Shard]
FORK = multiprocessing.get_context("fork")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "videos").mkdir()
    return tmp_path / "videos"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "store").mkdir()
    return Place.of(tmp_path / "store")


def put(root: Path, *names: str, content: str = "") -> list[VideoItem]:
    for name in names:
        (root / f"{name}.mp4").write_text(content or name)
    return items(root)


def items(root: Path) -> list[VideoItem]:
    return [VideoItem(path.stem, path) for path in sorted(root.glob("*.mp4"))]


def plan(place: Place, root: Path, chunk_size: int = 2, store: FeatureStore | None = None) -> Plan:
    return extend_plan(place, store, items(root), root, chunk_size=chunk_size)


def chunks_of(plan: Plan) -> dict[str, int]:
    return {video.id: video.chunk for video in plan.videos.values()}


def test_what_is_planned(place: Place, root: Path) -> None:
    put(root, *"abcde")
    made = plan(place, root)
    assert chunks_of(made) == {"a": 0, "b": 0, "c": 1, "d": 1, "e": 2}
    assert (made.chunks, made.next_chunk) == ([0, 1, 2], 3)
    assert made.videos["c"].path == "c.mp4"
    assert made.videos["c"].size == 1
    assert len(made.videos["c"].sketch) == 32
    assert Plan.read(place) == made
    lines = place.plan.read_text().splitlines()
    assert [json.loads(line).get("id") for line in lines] == [None, *"abcde"]
    assert sorted(path.name for path in place.folder.iterdir()) == ["plan.jsonl"]


def test_new_videos_are_added_and_nothing_is_renumbered(place: Place, root: Path) -> None:
    put(root, *"bcd")
    plan(place, root)
    before = place.plan.read_bytes()
    assert plan(place, root, chunk_size=7)
    assert place.plan.read_bytes() == before, "nothing new, nothing written"
    put(root, "a", "e")
    after = plan(place, root, chunk_size=1)
    assert chunks_of(after) == {"b": 0, "c": 0, "d": 1, "a": 2, "e": 3}
    assert place.plan.read_bytes().startswith(before)
    (root / "b.mp4").unlink()
    assert chunks_of(plan(place, root)) == chunks_of(after), "a file that is gone keeps its place"


def test_a_plan_says_how_it_was_begun(place: Place, root: Path) -> None:
    put(root, "a")
    first, second = Begun("bf16", 16), Begun("fp32", 64)
    made = extend_plan(place, None, items(root), root, chunk_size=2, begun=first)
    assert made.begun == Plan.read(place).begun == first
    put(root, "b")
    after = extend_plan(place, None, items(root), root, chunk_size=2, begun=second)
    assert after.begun == Plan.read(place).begun == first, "whoever comes later reads what the first said"
    assert sorted(after.videos) == ["a", "b"]


@pytest.mark.parametrize(
    "head",
    [
        {"plan": 1, "precision": "fp32"},
        {"plan": 1, "precision": 16, "batch_size": 16},
        {"plan": 1, "precision": "fp32", "batch_size": 0},
        {"plan": 1, "precision": "fp32", "batch_size": True},
        {"plan": 1, "precision": "fp32", "batch_size": 1.5},
        {"plan": 2, "precision": "fp32", "batch_size": 16},
        {"plan": 1, "precision": "fp32", "batch_size": 16, "more": 1},
    ],
)
def test_a_damaged_head_is_named(place: Place, head: dict) -> None:
    place.plan.write_text(json.dumps(head) + "\n")
    with pytest.raises(CamoeError, match=r"plan\.jsonl cannot be read \(line 1 is not one of a plan\)"):
        Plan.read(place)


def test_a_file_that_is_another_now_keeps_its_place(place: Place, root: Path) -> None:
    put(root, "a", "b", "c")
    first = plan(place, root)
    os.utime(root / "b.mp4", (1, 1))
    assert plan(place, root) == first, "a new time is no new content"
    (root / "b.mp4").write_text("another")
    second = plan(place, root)
    assert chunks_of(second) == chunks_of(first)
    assert second.videos["b"].size == 7
    assert second.videos["b"].sketch != first.videos["b"].sketch
    assert second.videos["a"] == first.videos["a"]
    assert Plan.read(place) == second


def test_the_same_wherever_the_videos_lie(place: Place, root: Path, tmp_path: Path) -> None:
    put(root, *"abc")
    first = plan(place, root)
    shutil.copytree(root, tmp_path / "moved")
    for path in (tmp_path / "moved").iterdir():
        os.utime(path, (5, 5))
    assert extend_plan(place, None, items(tmp_path / "moved"), tmp_path / "moved", chunk_size=2) == first


def test_what_cannot_be_read_is_planned_too(place: Place, root: Path) -> None:
    (root / "a.mp4").symlink_to(root / "nowhere")
    os.mkfifo(root / "b.mp4")
    (root / "c.mp4").mkdir()
    made = extend_plan(place, None, items(root), root, chunk_size=2)
    assert [(video.size, video.sketch) for video in made.videos.values()] == [(-1, "")] * 3
    assert Plan.read(place) == made


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not json\n",
        b'{"plan": 2}\n',
        b'{"plan": 1}\n{"id": "a"}\n',
        b'{"plan": 1}\n{"id": "a", "chunk": -1, "path": "a"}\n',
        b'{"plan": 1}\n{"id": "a", "chunk": true, "path": "a"}\n',
        b'{"plan": 1}\n{"id": "a", "chunk": 0, "path": "a", "size": "9"}\n',
        b'{"plan": 1}\n{"id": "a", "chunk": 0, "path": "a", "more": 1}\n',
        b'{"plan": 1}\n{"id": "a", "chunk": 0, "path": "a", "mtime": NaN}\n',
        b'{"plan": 1}\n{"id": "a", "chunk": 0, "path": "a"}\n{"id": "a", "chunk": 1, "path": "a"}\n',
        b'{"plan": 1}\n[1]\n',
        b'{"plan": 1}\n' + b"[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_damaged_plans_are_refused(place: Place, content: bytes) -> None:
    place.plan.write_bytes(content)
    if content:
        with pytest.raises(CamoeError, match=r"plan\.jsonl cannot be read \(.*\); restore it, or delete it"):
            Plan.read(place)


def test_flipped_bytes_are_refused_or_harmless(
    place: Place, root: Path, mutants: Callable, soak_count: Callable[[int, int], int]
) -> None:
    put(root, *"abcdef")
    plan(place, root)
    for mutant in mutants(place.plan.read_bytes(), soak_count(300, 20_000)):
        place.plan.write_bytes(mutant)
        with contextlib.suppress(CamoeError):
            assert all(video.chunk >= 0 for video in Plan.read(place).videos.values())


@given(st.integers(0, 10**7), st.integers(0, 10**4))
def test_names_tell_the_chunk(chunk: int, supplement: int) -> None:
    name = shard_name(chunk, supplement)
    assert chunk_of_name(name) == chunk
    assert supplement_of_name(name) == supplement
    assert chunk_of_name(name.replace("frames", "texts")) is None


# -- several writers


def _plan_late(place: Place, root: Path, barrier: object, results: object) -> None:
    barrier.wait()  # type: ignore[attr-defined]
    results.put(chunks_of(plan(place, root)))  # type: ignore[attr-defined]


def test_writers_that_come_together_have_one_plan(place: Place, root: Path) -> None:
    put(root, *(f"v{number:03d}" for number in range(200)))
    barrier, results = FORK.Barrier(6), FORK.Queue()
    writers = [FORK.Process(target=_plan_late, args=(place, root, barrier, results)) for _ in range(6)]
    for writer in writers:
        writer.start()
    plans = [results.get(timeout=60) for _ in writers]
    for writer in writers:
        writer.join(60)
    assert all(found == plans[0] for found in plans)
    lines = place.plan.read_text().splitlines()
    assert len(lines) == 201, "nobody wrote what another had written"
    assert plans[0]["v000"] == 0
    assert plans[0]["v199"] == 99


def _hold(place: Place, chunk: int, seconds: float) -> None:
    assert place.claim(chunk) is not None
    time.sleep(seconds)


def test_a_chunk_has_one_writer_and_a_dead_one_loses_it(place: Place) -> None:
    holder = FORK.Process(target=_hold, args=(place, 3, 60.0))
    holder.start()
    while not (place.folder / ".chunk-00003.lock").exists():
        time.sleep(0.01)
    while (claim := place.claim(3)) is not None:
        claim.release()
        time.sleep(0.01)
    other = place.claim(4)
    assert other is not None
    assert place.claim(4) is None, "nor twice in one process"
    other.release()
    holder.kill()
    holder.join()
    free = place.claim(3)
    assert free is not None
    free.release()
    assert list(place.folder.iterdir()) == []


# -- chunks


def test_chunks_tell_their_work_whole(place: Place, root: Path, make_shard: ShardMaker) -> None:
    put(root, *"abcde")
    made = plan(place, root)
    first = make_chunks(made, list("abcde"), None)
    assert [(chunk.number, chunk.name, chunk.order) for chunk in first] == [
        (0, "frames-00000.h5", 1),
        (1, "frames-00001.h5", 2),
        (2, "frames-00002.h5", 3),
    ]
    assert [video.id for video in first[1].videos] == ["c", "d"]
    with StoreBuilder(place.out, make_shard(["a"], None).settings) as builder:
        for name in ("ab", "cd"):
            builder.publish(make_shard(list(name), None))
        builder.finish()
    assert not (place.folder / "frames-00000.h5").exists(), "names of chunks are for chunks"
    store = FeatureStore.open(place.out)
    again = make_chunks(made, ["c", "e"], store)
    assert again == [
        Chunk(1, "frames-00001.h5", 3, (made.videos["c"],), replaced=("c",)),
        Chunk(2, "frames-00002.h5", 3, (made.videos["e"],)),
    ]


def test_a_chunk_that_another_run_has_just_made_keeps_its_name(
    place: Place, root: Path, make_shard: ShardMaker
) -> None:
    """So that it is found made, and not made again beside itself."""
    put(root, *"ab")
    made = plan(place, root)
    before = make_chunks(made, list("ab"), None)
    publish_shard(place, "frames-00000.h5", make_shard(list("ab"), None))
    assert make_chunks(made, list("ab"), None) == before
    store = FeatureStore.open(place.out)
    assert [chunk.name for chunk in make_chunks(made, list("ab"), store)] == ["frames-00000.1.h5"]
    publish_shard(place, "frames-00000.1.h5", make_shard(["z"], None))
    assert [chunk.name for chunk in make_chunks(made, list("ab"), store)] == ["frames-00000.1.h5"]
    store = FeatureStore.open(place.out)
    assert [chunk.name for chunk in make_chunks(made, list("ab"), store)] == ["frames-00000.2.h5"]


def test_a_store_of_before_gets_a_plan(root: Path, tmp_path: Path) -> None:
    shutil.copytree(Path(__file__).parents[2] / "fixtures" / "camoe-0.1.0" / "folder", tmp_path / "old")
    place, store = Place.of(tmp_path / "old"), FeatureStore.open(tmp_path / "old")
    put(root, "new")
    assert planned_now(place, store, items(root), root, chunk_size=5).videos["new"].chunk == 3
    assert not place.plan.exists()
    made = plan(place, root, store=store)
    assert made.videos["new"].chunk == 3
    for shard in store.shards:
        for video_id in shard.video_ids:
            assert shard.path.name == shard_name(made.videos[video_id].chunk)
