"""Stores that grow and change: captions corrected, added and dropped, videos added, splits that stay, kills between."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from camoe.extract.config import ExtractConfig
from camoe.extract.run import Extraction, extract
from camoe.pipeline.errors import CamoeError
from camoe.pipeline.store import FeatureStore, Shard
from camoe.pipeline.store.build import StoreBuilder

NAMES = ("red", "green", "blue", "yellow", "purple")
Rows = list[tuple[str, ...]]
ROWS: Rows = [
    (name, f"a {name} {shape} {verb}") for name in NAMES for shape, verb in (("disc", "falls"), ("box", "rises"))
]
STORES = ("shards.h5", "store")


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory, make_video) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    for name in NAMES:
        source = ("-f", "lavfi", "-i", f"color={name}:size=64x48:rate=5:duration=1")
        make_video(folder / f"{name}.mp4", "-c:v", "libx264", "-pix_fmt", "yuv420p", source=source)
    return folder


@pytest.fixture
def videos(clips: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(clips, tmp_path / "videos"))


def write(path: Path, rows: Rows, header: tuple[str, ...] = ("video_id", "caption")) -> Path:
    with open(path, "w", newline="") as stream:
        csv.writer(stream).writerows([header, *rows])
    return path


def run(store: Path, **changes: object) -> Extraction:
    values: dict = {"clip": "tiny", "device": "cpu", "precision": "fp32", "workers": 1, "shard_size": 2}
    values |= {"into": store} if changes.pop("mend", False) else {"out": store}
    return extract(ExtractConfig(**(values | changes)))


def fresh(tmp_path: Path, **changes: object) -> str:
    """The content hash of a store that is made anew."""
    shutil.rmtree(tmp_path / "fresh", ignore_errors=True)
    run(tmp_path / "fresh", **changes)
    return FeatureStore.open(tmp_path / "fresh").content_hash


# -- captions


@pytest.mark.parametrize("name", STORES)
def test_a_typo_is_mended_and_a_caption_added(videos: Path, tmp_path: Path, name: str) -> None:
    store, file = tmp_path / name, write(tmp_path / "c.csv", ROWS)
    run(store, videos=videos, captions=file)
    before = FeatureStore.open(store)
    file = write(tmp_path / "c.csv", [("red", "a red disc drops"), *ROWS[1:], ("blue", "the blue box stops")])

    with pytest.raises(CamoeError, match=r"not as they are in .*: 1 \(first: 'red#000' .*--into") as caught:
        run(store, videos=videos, captions=file)
    assert "'red#000' of video 'red' was 'a red disc falls' and is 'a red disc drops' now" in str(caught.value)
    assert FeatureStore.open(store).content_hash == before.content_hash

    done = run(store, captions=file, mend=True)
    assert done.changes == [
        "captions: 1 new, 1 changed, 9 unchanged",
        "  'red#000' of video 'red' was 'a red disc falls' and is 'a red disc drops' now",
    ]
    assert done.frames.frames == 0
    after = FeatureStore.open(store)
    assert after.content_hash == fresh(tmp_path, videos=videos, captions=file)
    assert np.array_equal(after.frames(), before.frames())
    assert "a red disc falls" not in after.caption_texts
    assert after.text_names == before.text_names
    for pair in after.text_names:
        after.text_table(*pair)


def test_every_strategy_and_stream_of_the_store_is_made_of_new_captions(videos: Path, tmp_path: Path) -> None:
    store, file = tmp_path / "shards.h5", write(tmp_path / "c.csv", ROWS)
    run(store, videos=videos, captions=file, strategies=("full", "muw", "rkw"), stream=("colour=ADJ",))
    file = write(tmp_path / "c.csv", [*ROWS[:-1], ("purple", "purple boxes rise slowly")])
    run(store, captions=file, mend=True)
    after = FeatureStore.open(store)
    assert ("rkw", "colour") in after.text_names
    assert all(len(after.text_table(*pair).row) == 10 for pair in after.text_names)


def test_line_ends_change_nothing(videos: Path, tmp_path: Path) -> None:
    store, file = tmp_path / "store", write(tmp_path / "c.csv", ROWS)
    run(store, videos=videos, captions=file)
    before = sorted((path.name, path.stat().st_mtime_ns) for path in store.glob("*.h5"))
    text = file.read_bytes()
    file.write_bytes(text.replace(b"\r\n", b"\n") if b"\r\n" in text else text.replace(b"\n", b"\r\n"))
    assert run(store, videos=videos, captions=file).sentences == 0
    assert sorted((path.name, path.stat().st_mtime_ns) for path in store.glob("*.h5")) == before


@pytest.mark.parametrize("name", STORES)
def test_captions_missing_from_the_file_are_named_and_kept_or_dropped(videos: Path, tmp_path: Path, name: str) -> None:
    store, file = tmp_path / name, write(tmp_path / "c.csv", ROWS)
    run(store, videos=videos, captions=file)
    write(file, ROWS[1:])
    kept = run(store, captions=file, mend=True)
    assert "captions of the store that are not in the file: 1 ('red#000'); kept" in kept.changes[-1]
    assert "a red disc falls" in FeatureStore.open(store).caption_texts
    dropped = run(store, captions=file, mend=True, drop_missing_captions=True)
    assert dropped.changes[-1] == "captions of the store that are not in the file: 1 ('red#000'); dropped"
    after = FeatureStore.open(store)
    assert sorted(after.caption_texts) == sorted(text for _, text in ROWS[1:])
    assert "red#001" in after.caption_ids, "the others keep their names"
    assert run(store, captions=file, mend=True).changes == []


@pytest.mark.parametrize("name", STORES)
def test_a_new_strategy_reads_captions_that_the_file_no_longer_has(videos: Path, tmp_path: Path, name: str) -> None:
    store, file = tmp_path / name, write(tmp_path / "c.csv", ROWS)
    run(store, videos=videos, captions=file)
    write(file, ROWS[1:])
    run(store, captions=file, mend=True, strategies=("full", "muw", "rkw"))
    after = FeatureStore.open(store)
    assert len(after.text_table("rkw", "entity").row) == len(after.caption_ids) == 10


def test_a_line_added_in_front_moves_nothing(videos: Path, tmp_path: Path) -> None:
    store, file = tmp_path / "store", write(tmp_path / "c.csv", ROWS)
    run(store, videos=videos, captions=file)
    write(file, [("red", "the first of all"), *ROWS])
    assert run(store, videos=videos, captions=file).changes == ["captions: 1 new, 10 unchanged"]
    after = FeatureStore.open(store)
    assert after.caption_texts[after.caption_ids.index("red#000")] == "a red disc falls"
    assert after.caption_texts[after.caption_ids.index("red#002")] == "the first of all"


def test_other_protocols_are_untouched(videos: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    file = write(tmp_path / "c.csv", [(*row, "train") for row in ROWS], ("video_id", "caption", "split"))
    run(store, videos=videos, captions=file)
    with StoreBuilder(store, FeatureStore.open(store).settings, adding=True) as builder:
        assert builder.store is not None
        whole = builder.store.captions
        codes = np.full(len(whole.id), 3, np.uint8)
        other = type(whole)(whole.id, whole.video_id, whole.text, {"mine": codes}, {"mine": {"missing_videos": 1}})
        builder.publish(Shard(builder.store.settings, captions=other))
        builder.finish()
    rows = [("red", "a red disc drops", "test"), ("red", "a red box rises", "test")]
    write(file, rows + [(*row, "train") for row in ROWS[2:]], ("video_id", "caption", "split"))
    with pytest.raises(CamoeError, match=r"not as they are in .*: 2 .first"):
        run(store, videos=videos, captions=file)
    run(store, captions=file, mend=True)
    after = FeatureStore.open(store)
    assert set(after.protocols["mine"].tolist()) == {3}
    assert after.protocols["own"].tolist().count(3) == 2
    assert after.shortfall["mine"] == {"missing_videos": 1}


@pytest.mark.parametrize("name", STORES)
def test_a_retry_forgets_failures_of_files_that_are_gone(videos: Path, tmp_path: Path, name: str) -> None:
    (videos / "broken.mp4").write_bytes(b"")
    assert run(tmp_path / name, videos=videos).exit_status == 3
    (videos / "broken.mp4").unlink()
    assert run(tmp_path / name, videos=videos).exit_status == 3, "a mistake in --videos must not forget anything"
    assert run(tmp_path / name, videos=videos, retry_failed=True).exit_status == 0
    assert FeatureStore.open(tmp_path / name).content_hash == fresh(tmp_path, videos=videos)


# -- the split


@pytest.mark.parametrize("name", STORES)
def test_the_split_stays_when_the_data_grows(videos: Path, tmp_path: Path, name: str) -> None:
    store, aside = tmp_path / name, tmp_path / "aside"
    aside.mkdir()
    (videos / "purple.mp4").rename(aside / "purple.mp4")
    run(store, videos=videos, captions=write(tmp_path / "c.csv", ROWS[:-2]))
    old = subsets(store)
    (aside / "purple.mp4").rename(videos / "purple.mp4")
    file = write(tmp_path / "c.csv", ROWS)
    run(store, videos=videos, captions=file)
    run(store, captions=file, mend=True, strategies=("full", "muw", "rkw"), seed=1)
    new = subsets(store)
    assert {video: new[video] for video in old} == old
    assert set(new) == set(NAMES)
    assert ("rkw", "entity") in FeatureStore.open(store).text_names


def subsets(path: Path) -> dict[str, int]:
    store = FeatureStore.open(path)
    return dict(zip(store.caption_video_ids, store.protocols["own"].tolist(), strict=True))


# -- the model


def test_the_store_knows_its_model(videos: Path, tmp_path: Path) -> None:
    store, file = tmp_path / "shards.h5", write(tmp_path / "c.csv", ROWS)
    run(store, videos=videos)
    run(store, captions=file, mend=True, clip=None, precision="auto")
    assert FeatureStore.open(store).settings.precision == "fp32"
    assert len(FeatureStore.open(store).caption_ids) == 10


def test_another_named_model_is_refused_before_its_weights_are_looked_for(videos: Path, tmp_path: Path) -> None:
    run(tmp_path / "s.h5", videos=videos)
    with pytest.raises(CamoeError, match=r"clip_model is tiny in the store and ViT-B/32 asked for"):
        run(tmp_path / "s.h5", videos=videos, clip="ViT-B/32", clip_cache=tmp_path / "nowhere")


# -- kills


@pytest.mark.parametrize("name", STORES)
def test_a_retry_that_was_killed_after_publishing(
    videos: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / name
    good = (videos / "red.mp4").read_bytes()
    (videos / "red.mp4").write_bytes(b"")
    assert run(store, videos=videos).failed == 1
    (videos / "red.mp4").write_bytes(good)

    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(StoreBuilder, "finish", die)
        with pytest.raises(Killed):
            run(store, videos=videos, retry_failed=True)
    for retry in (True, False):
        assert run(store, videos=videos, retry_failed=retry).exit_status == 0
        found = FeatureStore.open(store)
        assert (found.video_ids, found.failures) == (sorted(NAMES), {})
    assert found.content_hash == fresh(tmp_path, videos=videos)


def test_a_store_of_the_first_version_goes_on(tmp_path: Path) -> None:
    """Its failures lie in a file beside it; they become part of the store with the first shard that is added."""
    first = Path(__file__).parent.parent / "fixtures" / "camoe-0.1.0"
    shutil.copytree(first / "folder", tmp_path / "folder")
    settings = FeatureStore.open(tmp_path / "folder").settings
    before = FeatureStore.open(tmp_path / "folder")
    assert list(before.failures) == ["broken"]
    with StoreBuilder(tmp_path / "folder", settings) as builder:
        assert builder.inventory.failed == {"broken"}
        builder.finish()
    after = FeatureStore.open(tmp_path / "folder")
    assert list(after.failures) == ["broken"]
    assert after.content_hash == before.content_hash
    assert any(shard.failures for shard in after.shards)


def test_mistakes_of_our_own_are_not_called_damage(tmp_path: Path, make_shard_bytes: bytes) -> None:
    from camoe.pipeline.store.safe_open import open_hdf5

    (tmp_path / "s.h5").write_bytes(make_shard_bytes)
    for mistake in (TypeError("mine"), KeyError("mine"), AttributeError("mine")):
        with pytest.raises(type(mistake), match="mine"), open_hdf5(tmp_path / "s.h5"):
            raise mistake


@pytest.fixture
def make_shard_bytes(videos: Path, tmp_path: Path) -> bytes:
    run(tmp_path / "x.h5", videos=videos)
    return (tmp_path / "x.h5").read_bytes()
