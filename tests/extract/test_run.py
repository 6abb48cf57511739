"""Extraction end to end, with real files, ffmpeg, CLIP and HDF5."""

from __future__ import annotations

import csv
import multiprocessing
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from camoe.extract.cli import main, report
from camoe.extract.clip_encoder import ClipEncoder
from camoe.extract.config import ExtractConfig
from camoe.extract.run import extract
from camoe.pipeline.errors import CamoeError
from camoe.pipeline.store import FeatureStore

COLOURS = ("red", "green", "blue", "yellow", "purple", "orange", "pink", "black", "white", "gray", "cyan", "brown")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, make_video) -> Path:
    """Twelve clips in two folders, and two captions for ten of them."""
    folder = tmp_path_factory.mktemp("world")
    rows = []
    for number, colour in enumerate(COLOURS):
        place = folder / "videos" / ("even" if number % 2 == 0 else "odd")
        place.mkdir(parents=True, exist_ok=True)
        source = ("-f", "lavfi", "-i", f"color={colour}:size=64x48:rate=5:duration={1 + number % 3}")
        make_video(place / f"{colour}.mp4", "-c:v", "libx264", "-pix_fmt", "yuv420p", source=source)
        if number < 10:
            rows += [(f"{place.name}/{colour}", text) for text in (f"a {colour} circle", f"the {colour} square rises")]
    with open(folder / "captions.csv", "w", newline="") as stream:
        csv.writer(stream).writerows([("video_id", "caption"), *rows, ("absent", "a video that is not there")])
    return folder


def config(world: Path, out: Path, **changes: object) -> ExtractConfig:
    values: dict = {
        "videos": world / "videos", "captions": world / "captions.csv", "out": out, "clip": "tiny", "device": "cpu",
        "precision": "fp32", "shard_size": 4, "workers": 2,
    }  # fmt: skip
    return ExtractConfig(**(values | changes))


@pytest.fixture(scope="module")
def whole(world: Path, tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    out = tmp_path_factory.mktemp("whole") / "shards.h5"
    extract(config(world, out))
    return FeatureStore.open(out)


def test_what_the_store_holds(world: Path, whole: FeatureStore) -> None:
    assert len(whole.video_ids) == 12
    assert whole.video_ids == sorted(whole.video_ids)
    assert whole.frame_count.tolist() == [1 + COLOURS.index(name.split("/")[1]) % 3 for name in whole.video_ids]
    assert len(whole.caption_ids) == 20
    assert whole.text_names == [("full", "fusion"), ("muw", "action"), ("muw", "entity")]
    assert set(whole.protocols) == {"own"}
    assert set(whole.protocols["own"].tolist()) == {1, 2, 3}
    assert (whole.settings.clip_model, whole.settings.fps, whole.settings.max_frames) == ("tiny", 1.0, 12)
    assert whole.settings.clip_logit_scale > 1


def test_features_are_clips_own(world: Path, whole: FeatureStore) -> None:
    """One video and one caption, taken the plain way, against the store."""
    encoder = ClipEncoder.load("tiny", "cpu", "fp32")
    row = whole.caption_texts.index("a red circle")
    table = whole.text_table("full", "fusion")
    expected = encoder.encode_texts(["a red circle"])[0].numpy()
    assert np.abs(table.embedding[table.row[row]].astype(np.float32) - expected).max() < 1e-2
    red = whole.video_ids.index("even/red")
    pixels = np.zeros((1, 64, 64, 3), np.uint8)
    pixels[..., 0] = 254
    frame = whole.frames()[red, 0].astype(np.float32)
    plain = encoder.encode_frames(pixels)[0].numpy()
    assert np.dot(frame, plain) / np.linalg.norm(frame) / np.linalg.norm(plain) > 0.99


def test_a_folder_of_shards_holds_the_same(world: Path, tmp_path: Path, whole: FeatureStore) -> None:
    extract(config(world, tmp_path / "store"))
    store = FeatureStore.open(tmp_path / "store")
    assert len(store.shards) == 4
    assert store.content_hash == whole.content_hash


def test_the_schema_is_plain_hdf5(whole: FeatureStore) -> None:
    with h5py.File(whole.shards[0].path) as file:
        assert file["videos/id"][0].decode() == "even/black" or file["videos/id"][0].decode() in whole.video_ids
        assert file["videos/frames"].shape == (12, 12, whole.settings.embed_dim)
        assert file["videos/frames"].dtype == np.float16
        assert file["videos/frames"].fletcher32
        assert np.isnan(file["videos/frame_time_s"][:]).any()
        assert set(file["texts/muw"]) == {"entity", "action"}
        assert file["captions/muw/entity"].shape == (20,)
        assert file["protocols/own"].dtype == np.uint8


def test_a_second_run_does_nothing(world: Path, tmp_path: Path) -> None:
    extract(config(world, tmp_path / "store"))
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "store").glob("*.h5")}
    again = extract(config(world, tmp_path / "store"))
    assert again.frames.frames == 0
    assert again.sentences == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "store").glob("*.h5")} == before


def test_new_videos_are_added(world: Path, tmp_path: Path, whole: FeatureStore) -> None:
    videos = tmp_path / "videos"
    shutil.copytree(world / "videos", videos)
    late = videos / "odd" / "green.mp4"
    aside = late.rename(tmp_path / "green.mp4")
    out = tmp_path / "shards.h5"
    extract(config(world, out, videos=videos, captions=None))
    assert len(FeatureStore.open(out).video_ids) == 11
    aside.rename(late)
    extract(config(world, out, videos=videos, captions=None))
    store = FeatureStore.open(out)
    assert store.video_ids == whole.video_ids
    assert np.array_equal(store.frames(), whole.frames())


def test_captions_may_come_later_or_alone(world: Path, tmp_path: Path, whole: FeatureStore) -> None:
    out = tmp_path / "shards.h5"
    extract(config(world, out, captions=None))
    extract(config(world, out, videos=None, into=out))
    store = FeatureStore.open(out)
    assert store.text_names == whole.text_names
    assert store.content_hash == whole.content_hash  # the same captions left out, the same split


def test_captions_alone(world: Path, tmp_path: Path) -> None:
    extract(config(world, tmp_path / "texts.h5", videos=None))
    store = FeatureStore.open(tmp_path / "texts.h5")
    assert len(store.caption_ids) == 21  # without videos at hand no caption is left out
    with pytest.raises(CamoeError, match="holds no videos"):
        store.frames()


def test_a_preview_writes_nothing(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    status = main(["--captions", str(world / "captions.csv"), "--preview", "3"], standalone_mode=False)
    said = capsys.readouterr().out
    assert status == 0
    assert said.count("muw/entity") == 3
    assert "_ _ circle" in said
    assert list(tmp_path.iterdir()) == []


def test_sentences_that_are_forgotten_are_made_again_to_the_same_bits(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("camoe.extract.run.CAPTIONS_PER_SHARD", 3)
    remembered = extract(config(world, tmp_path / "remembered", videos=None))
    monkeypatch.setattr("camoe.extract.texts._REMEMBERED", 2)
    forgotten = extract(config(world, tmp_path / "forgotten", videos=None))
    assert forgotten.sentences > remembered.sentences, "red, square and the like recur"
    assert FeatureStore.open(forgotten.store).content_hash == FeatureStore.open(remembered.store).content_hash


def test_another_strategy_decodes_no_video(world: Path, tmp_path: Path) -> None:
    out = tmp_path / "shards.h5"
    extract(config(world, out))
    before = FeatureStore.open(out).frames()
    done = extract(config(world, out, into=out, strategies=("rkw",), stream=("attribute=ADJ",)))
    assert done.frames.frames == 0
    store = FeatureStore.open(out)
    assert ("rkw", "attribute") in store.text_names
    assert ("muw", "entity") in store.text_names
    assert np.array_equal(store.frames(), before)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fps": 2.0}, r"fps is 1\.0 in the store and 2\.0 asked for"),
        ({"max_frames": 3}, "max_frames is 12 in the store and 3 asked for"),
        ({"sampling": "head"}, "sampling is uniform in the store and head asked for"),
        ({"precision": "bf16"}, "precision is fp32 in the store and bf16 asked for"),
        ({"strategies": ("rkw",)}, "strategies are full,muw in the store and full,rkw asked for"),
        ({"stream": ("entity=ADJ",)}, "stream entity is NOUN in the store and ADJ asked for"),
    ],
)
def test_other_settings_are_refused(world: Path, tmp_path: Path, changes: dict, message: str) -> None:
    out = tmp_path / "store"
    extract(config(world, out))
    before = sorted((path.name, path.stat().st_mtime_ns) for path in out.iterdir())
    with pytest.raises(CamoeError, match=message):
        extract(config(world, out, **changes))
    assert sorted((path.name, path.stat().st_mtime_ns) for path in out.iterdir()) == before


def test_another_model_is_refused(world: Path, tmp_path: Path) -> None:
    out = tmp_path / "store"
    extract(config(world, out))
    from camoe.extract.clip_weights import clip_package

    torch.manual_seed(1)
    model = clip_package().model.CLIP(128, 64, 2, 128, 32, 77, 49408, 128, 2, 3)
    torch.save(model.state_dict(), tmp_path / "other.pt")
    with pytest.raises(CamoeError, match=r"clip_sha256 is \w+… in the store and \w+… asked for"):
        extract(config(world, out, clip=str(tmp_path / "other.pt")))


def test_a_changed_source_is_refused(world: Path, tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    shutil.copytree(world / "videos", videos)
    extract(config(world, tmp_path / "store", videos=videos))
    before = FeatureStore.open(tmp_path / "store")
    green = videos / "odd" / "green.mp4"
    os.utime(green, (1, 1))
    assert extract(config(world, tmp_path / "store", videos=videos)).frames.ok == 0, "a new time is no new content"
    content = bytearray(green.read_bytes())
    content[len(content) // 2] ^= 1
    green.write_bytes(content)
    with pytest.raises(CamoeError, match=r"green\.mp4 has changed since it was extracted; .* --replace-changed"):
        extract(config(world, tmp_path / "store", videos=videos))
    shutil.copy(videos / "even" / "red.mp4", green)
    done = extract(config(world, tmp_path / "store", videos=videos, replace_changed=True))
    assert done.frames.ok == 1
    assert (len(before.video_ids), report(done).splitlines()[0].partition(", ")[0]) == (
        12,
        f"{tmp_path}/store: 12 videos (0 new)",
    )
    assert "\nvideos replaced, since their files had changed: 1 (odd/green)" in report(done)
    store = FeatureStore.open(tmp_path / "store")
    assert store.video_ids == before.video_ids
    red, place = store.video_ids.index("even/red"), store.video_ids.index("odd/green")
    assert np.array_equal(store.frames()[place], store.frames()[red])
    assert store.content_hash != before.content_hash
    green.write_bytes(b"")
    done = extract(config(world, tmp_path / "store", videos=videos, replace_changed=True))
    assert done.failed == 1
    assert f"{tmp_path}/store: 11 videos (0 new)" in report(done)
    assert "\nvideos taken out, since their files had changed and cannot be read now: 1 (odd/green)" in report(done)
    assert "videos replaced" not in report(done)
    store = FeatureStore.open(tmp_path / "store")
    assert "odd/green" not in store.video_ids
    assert store.failures["odd/green"].reason == "the file is empty"


def test_bad_videos_are_recorded_and_can_be_retried(world: Path, tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    shutil.copytree(world / "videos", videos)
    good = (videos / "odd" / "green.mp4").read_bytes()
    (videos / "broken.mp4").write_bytes(good[:200])
    (videos / "empty.mp4").write_bytes(b"")
    out = tmp_path / "shards.h5"
    done = extract(config(world, out, videos=videos))
    assert (done.frames.ok, done.frames.failed, done.exit_status) == (12, 2, 3)
    with open(tmp_path / "shards.failures.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["id"], row["stage"]) for row in rows] == [("broken", "decode"), ("empty", "decode")]
    assert rows[1]["reason"] == "the file is empty"
    assert rows[0]["path"] == "broken.mp4", "relative to the folder, which other machines may know under another name"

    again = extract(config(world, out, videos=videos))
    assert (again.frames.failed, again.failed, again.exit_status) == (0, 2, 3)
    (videos / "broken.mp4").write_bytes(good)
    retried = extract(config(world, out, videos=videos, retry_failed=True))
    assert (retried.frames.ok, retried.frames.failed, retried.exit_status) == (1, 1, 3)
    (videos / "empty.mp4").write_bytes(good)
    assert extract(config(world, out, videos=videos, retry_failed=True)).exit_status == 0
    assert not (tmp_path / "shards.failures.csv").exists()
    assert len(FeatureStore.open(out).video_ids) == 14


def test_only_bad_videos(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "a.mp4").write_bytes(b"")
    for name in ("shards.h5", "store"):
        done = extract(config(tmp_path, tmp_path / name, captions=None))
        assert (done.failed, done.exit_status) == (1, 3)
        assert FeatureStore.open(tmp_path / name).failures["a"].reason == "the file is empty"
        assert extract(config(tmp_path, tmp_path / name, captions=None)).exit_status == 3


def _extract(settings: ExtractConfig) -> None:
    extract(settings)


@pytest.mark.soak
@pytest.mark.parametrize("name", ["shards.h5", "store"])
def test_killed_at_random_and_continued(
    world: Path, tmp_path: Path, whole: FeatureStore, name: str, soak_count: Callable[[int, int], int]
) -> None:
    """Kills in a row, then the same command to its end: nothing lost, nothing twice, finished work untouched."""
    out = tmp_path / name
    settings = config(world, out, shard_size=1)
    started = time.monotonic()
    extract(config(world, tmp_path / "timed.h5", shard_size=1))
    length = time.monotonic() - started
    random.seed(0)
    seen: dict[Path, int] = {}
    for _ in range(soak_count(10, 100)):
        child = multiprocessing.get_context("fork").Process(target=_extract, args=(settings,))
        child.start()
        time.sleep(random.uniform(0.05, 0.5) * length)
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        for shard in (tmp_path / name if name == "store" else tmp_path / "shards.h5.parts").glob("*.h5"):
            modified = shard.stat().st_mtime_ns
            assert seen.setdefault(shard, modified) == modified
            FeatureStore.open(shard)
    extract(settings)
    store = FeatureStore.open(out)
    assert store.content_hash == whole.content_hash
    assert sorted(store.video_ids) == whole.video_ids
    if name == "shards.h5":
        leftovers = sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("shards"))
        assert leftovers == ["shards.h5", "shards.h5.sha256"]


@pytest.mark.soak
@pytest.mark.parametrize("name", ["shards.h5", "store"])
def test_retries_killed_at_random(
    world: Path, tmp_path: Path, whole: FeatureStore, name: str, soak_count: Callable[[int, int], int]
) -> None:
    """A store in which every second video failed, mended by retries that are killed again and again."""
    videos = tmp_path / "videos"
    shutil.copytree(world / "videos", videos)
    for path in (videos / "odd").iterdir():
        path.write_bytes(b"")
    settings = config(world, tmp_path / name, videos=videos, shard_size=1, retry_failed=True)
    extract(replace(settings, retry_failed=False))
    shutil.copytree(world / "videos", videos, dirs_exist_ok=True)
    random.seed(0)
    for _ in range(soak_count(5, 100)):
        child = multiprocessing.get_context("fork").Process(target=_extract, args=(settings,))
        child.start()
        time.sleep(random.uniform(0.05, 1.0))
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        held = FeatureStore.open(tmp_path / name)
        assert set(held.video_ids).isdisjoint(held.failures)
        assert len(held.video_ids) + len(held.failures) == 12
    assert extract(settings).exit_status == 0
    store = FeatureStore.open(tmp_path / name)
    assert (store.content_hash, store.failures) == (whole.content_hash, {})


def test_two_runs_into_one_store(world: Path, tmp_path: Path, ffmpeg: str) -> None:
    unhurried = tmp_path / "ffmpeg"
    unhurried.write_text(f'#!/bin/sh\ncase "$*" in *showinfo*) sleep 2;; esac\nexec {ffmpeg} "$@"\n')
    unhurried.chmod(0o755)
    settings = config(world, tmp_path / "store", ffmpeg=str(unhurried))
    child = multiprocessing.get_context("fork").Process(target=_extract, args=(settings,))
    child.start()
    try:
        while not list((tmp_path / "store").glob("texts-*.h5")):
            time.sleep(0.01)
        with pytest.raises(CamoeError, match=r"another run is writing to .*store; wait for it to end"):
            extract(settings)
    finally:
        child.kill()
        child.join()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--videos", "absent"], "--videos absent does not exist"),
        (["--videos", "empty"], "holds no video"),
        ([], "give --videos DIR, --captions FILE, or both"),
        (["--captions", "captions.csv", "--clip", "ViT-B/33"], "neither a file nor a known model"),
        (["--captions", "nocaption.csv"], "caption"),
        (["--captions", "absent.csv"], "does not exist"),
        (["--captions", "captions.txt"], "--dataset"),
        (["--captions", "captions.csv", "--fps", "0"], "fps must be above zero"),
        (["--captions", "captions.csv", "--sampling", "unifrom"], "uniform"),
        (["--captions", "captions.csv", "--stream", "x=WORD"], "NOUN"),
        (["--captions", "captions.csv", "--into", "absent.h5"], "--into absent.h5 does not exist"),
    ],
)
def test_wrong_use_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, arguments: list[str], message: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "captions.csv").write_text("video_id,caption\na,a red circle\n")
    (tmp_path / "captions.txt").write_text("x")
    (tmp_path / "nocaption.csv").write_text("video_id,words\na,a red circle\n")
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SystemExit) as stopped:
        main([*arguments, "--clip", "tiny"] if "--clip" not in arguments else arguments)
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.startswith("camoe-extract: ")
    assert said.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_the_ten_real_clips(shared: Path, tmp_path: Path) -> None:
    real = config(shared / "data", tmp_path / "shards.h5", captions=shared / "data" / "videos" / "captions.csv")
    done = extract(real)
    assert (done.frames.ok, done.frames.frames, done.exit_status) == (10, 91, 0)
    store = FeatureStore.open(tmp_path / "shards.h5")
    assert store.frame_count.sum() == 91
    assert len(store.caption_ids) == 21


def test_where_a_store_may_go(tmp_path) -> None:
    (tmp_path / "s.h5").touch()
    with pytest.raises(CamoeError, match=r"into .*s.h5 adds to a store and out .*t.h5 makes one; give one of them"):
        ExtractConfig(videos=tmp_path, into=tmp_path / "s.h5", out=tmp_path / "t.h5")
    with pytest.raises(CamoeError, match=r"--out e1.npz promises a .npz file, and a feature store is .*e1.h5"):
        ExtractConfig(videos=tmp_path, out=Path("e1.npz"))
    assert ExtractConfig(videos=tmp_path).store == Path("shards.h5")
    assert ExtractConfig(captions=Path("c.jsonl")).dataset_name == "json"
