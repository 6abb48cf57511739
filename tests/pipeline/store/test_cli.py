"""`camoe-store`: its subcommands as a user types them."""

from __future__ import annotations

import hashlib
import io
import json
import random
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from camoe.pipeline.errors import CamoeError
from camoe.pipeline.store import FeatureStore, Shard
from camoe.pipeline.store.build import StoreBuilder
from camoe.pipeline.store.cli import main
from camoe.pipeline.store.schema import FAILED, Failure
from camoe.pipeline.store.verify import verify_store

ShardMaker = Callable[..., Shard]
PARTS = ("sentence", "embedding", "row")
MODEL = ["--clip-model", "SigLIP", "--logit-scale", "117.3", "--logit-bias", "-12.9"]


def call(*arguments: object) -> int:
    return int(main([str(argument) for argument in arguments], standalone_mode=False))


def fails(*arguments: object) -> str:
    """The one sentence of a command that is refused."""
    with pytest.raises(CamoeError) as caught:
        call(*arguments)
    assert caught.value.exit_status == 2
    return str(caught.value)


@pytest.fixture
def store(make_shard: ShardMaker, tmp_path: Path) -> Path:
    """A folder of three shards, with a failed video."""
    out = tmp_path / "store"
    with StoreBuilder(out, make_shard().settings) as builder:
        builder.publish(make_shard(["a", "ccc", "dx"], None))
        builder.publish(make_shard(None))
        lost = Failure("lost", "lost.mp4", FAILED, "empty file")
        builder.publish(replace(make_shard(["b", "ü"], None), failures=(lost,)))
        builder.finish()
    return out


# -- group


def test_help_and_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--help") == 0
    shown = capsys.readouterr().out
    for name in ("info", "verify", "merge", "export", "import"):
        assert f"  {name} " in shown
        assert call(name, "--help") == 0
        assert "--help" in capsys.readouterr().out
    assert fails() == "Missing command (camoe-store --help lists the options)"
    assert fails("inof") == "No such command 'inof' (camoe-store --help lists the options)" or "Did you mean" in fails(
        "inof"
    )
    assert fails("merge", "a.h5") == "Missing option '--out' (camoe-store merge --help lists the options)"
    for name in ("info", "verify"):
        assert "none.h5 does not exist; give a store" in fails(name, "none.h5")


def test_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["info", "none.h5"])
    assert caught.value.code == 2
    assert capsys.readouterr().err == "camoe-store: none.h5 does not exist; give a store that camoe-extract wrote\n"


# -- info


def test_info(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("info", store) == 0
    lines = capsys.readouterr().out.splitlines()
    content = FeatureStore.open(store).content_hash
    assert lines[0].startswith("shards    3, ")
    assert lines[1:] == [
        "model     ViT-B/32, 8 wide, logit scale 100, fp32, SHA-256 abababababababab",
        "sampling  uniform, 1 frames/s, at most 4",
        "streams   fusion=everything; entity=NOUN",
        "strategy  full, muw; tagger hanta",
        "versions  camoe 0",
        "videos    5 (4 ok, 1 damaged, 1 failed), 13 frames",
        "     2 frames        3 videos  ##############################",
        "     3 frames        1 video   ##########",
        "     4 frames        1 video   ##########",
        "captions  5 of 4 videos",
        "protocol  own: 4 train, 0 val, 1 test captions",
        f"content   {content}",
        "",
        "texts        captions  kept words  whole caption  too long  most frequent",
        "full/fusion         5         all                        0  dog 2",
        "muw/entity          5        0.60          20.0%         0  dog 2",
    ]


# -- verify


def test_verify_a_sound_store(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("verify", store) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{store}/frames-00000.h5: sound"
    assert lines[-1] == f"sound: 3 shards, content {FeatureStore.open(store).content_hash}"
    (store / "SHA256SUMS").unlink()
    assert call("verify", store) == 0
    assert "frames-00000.h5: sound (no checksum is listed for it)" in capsys.readouterr().out


def test_verify_names_shard_and_data_set(store: Path, make_shard: ShardMaker, capsys: pytest.CaptureFixture) -> None:
    frames = make_shard(["b", "ü"], None).videos.frames  # type: ignore[union-attr]
    path = store / "frames-00001.h5"
    image = bytearray(path.read_bytes())
    image[image.index(frames[0, 0].tobytes())] ^= 1
    path.write_bytes(image)
    assert call("verify", store) == 1
    captured = capsys.readouterr()
    assert f"{path}: DAMAGED\n  {path} is not the file that SHA256SUMS lists (SHA-256 differs)\n" in captured.out
    assert f"  {path}: /videos/frames cannot be read" in captured.out
    assert captured.err.startswith("camoe-store: 2 problems; restore the damaged shards")
    (store / "SHA256SUMS").unlink()
    assert call("verify", store) == 1
    assert f"{path}: /videos/frames cannot be read" in capsys.readouterr().out


def test_verify_looks_at_the_plan(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = store / "plan.jsonl"
    lines = [json.dumps({"id": name, "chunk": chunk, "path": name}) for name, chunk in (("a", 0), ("new", 2))]
    plan.write_text("\n".join(['{"plan": 1}', *lines, ""]))
    assert call("verify", store) == 0
    out = capsys.readouterr().out
    assert f"{plan}: 1 of 2 planned shards is not made yet (first: frames-00002.h5); the same camoe-extract" in out
    plan.write_text("\n".join(['{"plan": 1}', lines[0], "{", ""]))
    assert call("verify", store) == 1
    captured = capsys.readouterr()
    assert f"\n{plan} cannot be read (line 3 is not one of a plan); restore it, or delete it" in captured.out
    assert "DAMAGED" not in captured.out
    assert captured.err.startswith("camoe-store: 1 problem;")


def test_verify_looks_at_the_checksums_themselves(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Wherever a byte of them flips, that is damage that was found, not a command that could not go on."""
    sums = store / "SHA256SUMS"
    whole = sums.read_bytes()
    second = whole.index(b"\n") + 1
    for place, byte, said in (
        (8, 0xFF, "(it is not text); restore it, or delete it"),
        (second + 64, ord("x"), "(line 2 is no checksum of a file); restore it, or delete it"),
        (second - 1, ord("x"), "is listed in SHA256SUMS and missing"),
    ):
        sums.write_bytes(whole[:place] + bytes([byte]) + whole[place + 1 :])
        assert call("verify", store) == 1
        captured = capsys.readouterr()
        assert captured.out.count(said) == 1, said
        assert f"{store}/texts-00000.h5: sound" in captured.out
        assert "problem" in captured.err
    one = store / "frames-00000.h5"
    alone = one.with_name(one.name + ".sha256")
    alone.write_bytes(b"\xff")
    assert call("verify", one) == 1
    assert capsys.readouterr().err.endswith("restore the damaged shards, or delete them and run camoe-extract again\n")
    assert verify_store([one]) == [
        f"{alone} cannot be read (it is not text); restore it, or delete it: camoe-extract sums the shards anew"
    ]


def test_verify_finds_what_hdf5_does_not(
    store: Path, make_shard: ShardMaker, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whole shards put into the place of others, and shards that went missing."""
    from camoe.pipeline.store import write_shard

    write_shard(store / "frames-00001.h5", make_shard(["b"], None))
    (store / "texts-00000.h5").unlink()
    first, second, third = verify_store([store])
    assert first == f"{store}/texts-00000.h5 is listed in SHA256SUMS and missing"
    assert call("verify", store) == 1
    assert f"\n{first}\n" in capsys.readouterr().out
    assert second.endswith("frames-00001.h5 is not the file that SHA256SUMS lists (SHA-256 differs)")
    assert third.endswith("frames-00001.h5: all data can be read, so the damage lies between them")


def test_verify_compares_content_sums(store: Path, tmp_path: Path) -> None:
    import h5py

    path = store / "frames-00000.h5"
    (store / "SHA256SUMS").unlink()
    with h5py.File(path, "r+") as file:
        file["videos/frames"][0, 0, 0] = 7
    assert verify_store([path]) == [f"{path}: videos are not what was written (their content sum differs)"]


def test_every_flipped_bit_is_found(store: Path) -> None:
    path = store / "texts-00000.h5"
    image = path.read_bytes()
    draw = random.Random(1)
    for _ in range(60):
        position = draw.randrange(len(image) * 8)
        flipped = bytearray(image)
        flipped[position // 8] ^= 1 << position % 8
        path.write_bytes(flipped)
        problems = verify_store([path])
        assert "texts-00000.h5 is not the file that SHA256SUMS lists" in problems[0], position
        assert len(problems) >= 2, "and something is said of where it is"


# -- merge


def test_merge(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = FeatureStore.open(store).content_hash
    for out in (tmp_path / "one.h5", tmp_path / "folder"):
        assert call("merge", store / "frames-*.h5", store / "texts-00000.h5", "--out", out) == 0
        assert capsys.readouterr().out == f"{out}: 5 videos, 5 captions, content {content}\n"
        assert call("verify", out) == 0
        assert "no checksum" not in capsys.readouterr().out
    assert (tmp_path / "one.failures.csv").read_text() == (store / "failures.csv").read_text()
    assert (tmp_path / "folder" / "failures.csv").read_text() == (store / "failures.csv").read_text()
    names = ["one.failures.csv", "one.h5", "one.h5.sha256", "folder", "store"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    assert fails("merge", store, "--out", tmp_path / "one.h5") == f"{tmp_path}/one.h5 exists already; give a new --out"


@pytest.mark.parametrize("name", ["one.h5", "folder"])
def test_merging_what_does_not_belong_together(store: Path, make_shard: ShardMaker, tmp_path: Path, name: str) -> None:
    from camoe.pipeline.store import write_shard

    write_shard(tmp_path / "other.h5", make_shard(["z"], None, fps=2.0))
    before = sorted(tmp_path.iterdir())
    message = fails("merge", store, tmp_path / "other.h5", "--out", tmp_path / name)
    assert "were made with different settings: fps is 1.0 in the first and 2.0 in the second" in message
    write_shard(tmp_path / "other.h5", make_shard(["a"], None))
    assert "video 'a' lies in both" in fails("merge", store, tmp_path / "other.h5", "--out", tmp_path / name)
    assert sorted(tmp_path.iterdir()) == before


# -- export


def test_damaged_shards_are_not_merged(store: Path, tmp_path: Path) -> None:
    """A flipped bit that HDF5 does not see must not be given a checksum of its own."""
    shard = store / "frames-00000.h5"
    content = bytearray(shard.read_bytes())
    content[2600] ^= 4
    shard.write_bytes(content)
    for out in ("merged", "merged.h5"):
        assert "frames-00000.h5 is not the file that SHA256SUMS lists" in fails("merge", store, "--out", tmp_path / out)
        assert not (tmp_path / out).exists()


def test_export_npz_and_back(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("export", store, "--out", tmp_path / "s.npz") == 0
    arrays = np.load(tmp_path / "s.npz", allow_pickle=False)
    assert sorted(arrays) == sorted(
        ["settings", "ids", "status", "source", "source_size", "source_mtime", "duration_s", "frame_count", "frames"]
        + ["frame_time_s", "caption_ids", "caption_video_ids", "caption_texts", "protocols/own", "shortfall"]
        + ["fingerprint", "notes/full/fusion", "notes/muw/entity"]
        + [f"texts/{name}/{part}" for name in ("full/fusion", "muw/entity") for part in PARTS]
    )
    assert arrays["ids"].tolist() == ["a", "b", "ccc", "dx", "ü"]
    assert arrays["frames"].shape == (5, 4, 8)
    assert json.loads(str(arrays["settings"]))["clip_model"] == "ViT-B/32"
    assert call("import", tmp_path / "s.npz", "--out", tmp_path / "back.h5") == 0
    ours, theirs = FeatureStore.open(tmp_path / "back.h5"), FeatureStore.open(store)
    assert ours.content_hash == theirs.content_hash
    assert ours.settings == theirs.settings
    assert "exists already" in fails("export", store, "--out", tmp_path / "s.npz")
    assert fails("export", store, "--out", tmp_path / "s.csv").endswith("s.csv should end in .npz, .parquet or .faiss")


def test_export_parquet(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("camoe.pipeline.store.export._BLOCK_ROWS", 2)
    assert call("export", store, "--out", tmp_path / "s.parquet") == 0
    source = FeatureStore.open(store)
    videos = pyarrow.parquet.read_table(tmp_path / "s.videos.parquet").to_pylist()
    assert [row["id"] for row in videos] == source.video_ids
    assert [len(row["frames"]) for row in videos] == source.frame_count.tolist() == [2, 2, 4, 3, 2]
    np.testing.assert_array_equal(videos[2]["frames"], source.frames()[2])
    assert videos[3]["frame_time_s"] == [0, 1, 2]
    captions = pyarrow.parquet.read_table(tmp_path / "s.captions.parquet")
    rows = captions.to_pylist()
    assert [row["caption"] for row in rows] == source.caption_texts
    assert [row["protocols/own"] for row in rows] == ["train", "train", "train", "test", "train"]
    table = source.text_table("muw", "entity")
    np.testing.assert_array_equal([row["texts/muw/entity"] for row in rows], table.embedding[table.row])
    assert json.loads(captions.schema.metadata[b"camoe"])["fps"] == 1.0
    assert not list(tmp_path.glob("*.tmp.*"))


# -- import


def npy(array: np.ndarray, allow_pickle: bool = False) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=allow_pickle)
    return stream.getvalue()


@pytest.fixture
def features() -> dict[str, np.ndarray]:
    draw = np.random.default_rng(0)
    return {
        "a": draw.normal(size=(3, 8)).astype(np.float32),
        "b_1": draw.normal(size=(20, 8)).astype(np.float32),
        "c": draw.normal(size=8).astype(np.float16),
    }


def check_imported(path: Path, features: dict[str, np.ndarray]) -> FeatureStore:
    store = FeatureStore.open(path)
    assert store.video_ids == ["a", "b_1", "c"]
    assert store.frame_count.tolist() == [3, 12, 1]
    frames = store.frames()
    np.testing.assert_array_equal(frames[0, :3], features["a"].astype(np.float16))
    chosen = [0, 2, 4, 5, 7, 9, 10, 12, 14, 15, 17, 19]
    np.testing.assert_array_equal(frames[1], features["b_1"][chosen].astype(np.float16))
    np.testing.assert_array_equal(frames[2, 0], features["c"])
    assert not frames[0, 3:].any()
    made = store.settings
    assert (made.clip_model, made.clip_logit_scale, made.clip_logit_bias) == ("SigLIP", 117.3, -12.9)
    return store


def test_import_a_folder_of_npy(features: dict, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "npy"
    folder.mkdir()
    for name, array in features.items():
        (folder / f"{name}.npy").write_bytes(npy(array))
    assert call("import", folder, "--out", tmp_path / "s.h5", "--fps", 2, *MODEL) == 0
    assert capsys.readouterr().out == (
        f"{tmp_path}/s.h5: 3 videos\nlonger than 12 frames, and sampled evenly: 1 video\n"
    )
    store = check_imported(tmp_path / "s.h5", features)
    assert store.frame_times()[1, :3].tolist() == [0.0, 1.0, 2.0]
    assert np.isnan(store.frame_times()[0, 3:]).all()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["npy", "s.h5", "s.h5.sha256"]
    assert call("import", folder, "--out", tmp_path / "s.h5", "--fps", 2, *MODEL) == 0, "a second time is no harm"
    assert "fps is 2.0 in the store and 3.0 asked for" in fails(
        "import", folder, "--out", tmp_path / "s.h5", "--fps", 3, *MODEL
    )


def test_import_video_features(features: dict, tmp_path: Path) -> None:
    folder = tmp_path / "clip" / "ViT-B_32"
    folder.mkdir(parents=True)
    for name, array in features.items():
        (folder / f"{name}_clip.npy").write_bytes(npy(array))
        (folder / f"{name}_fps.npy").write_bytes(npy(np.array(25.0)))
        (folder / f"{name}_timestamps_ms.npy").write_bytes(npy(np.arange(np.atleast_2d(array).shape[0]) * 40.0))
    assert call("import", tmp_path / "clip", "--out", tmp_path / "s.h5", *MODEL) == 0
    store = check_imported(tmp_path / "s.h5", features)
    np.testing.assert_allclose(store.frame_times()[1, :3], [0.0, 0.08, 0.16], rtol=1e-6)
    (folder / "a_rgb.npy").write_bytes(npy(features["a"]))
    message = fails("import", tmp_path / "clip", "--out", tmp_path / "t.h5", *MODEL)
    assert message.startswith("video 'a' has two arrays, ")
    assert not (tmp_path / "t.h5.parts").exists()


@pytest.mark.parametrize("suffix", ["txt", "cap"])
def test_import_clip_video_encode(features: dict, tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture) -> None:
    folder = tmp_path / "tars"
    folder.mkdir()
    for number, (name, array) in enumerate(features.items()):
        with tarfile.open(folder / f"{number:05d}_clip_embeddings.tar", "w") as tar:
            for end, content in (("npy", npy(array)), (suffix, f"caption {name}".encode()), ("json", b'{"x": 1}')):
                member = tarfile.TarInfo(f"{name}.{end}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    captions = tmp_path / "found.csv"
    assert call("import", folder, "--out", tmp_path / "s.h5", *MODEL, "--write-captions", captions) == 0
    check_imported(tmp_path / "s.h5", features)
    assert captions.read_text() == "video_id,caption\na,caption a\nb_1,caption b_1\nc,caption c\n"
    capsys.readouterr()
    assert call("import", folder / "00000_clip_embeddings.tar", "--out", tmp_path / "one", *MODEL) == 0
    assert "1 caption found beside the features, without embeddings: --write-captions FILE" in capsys.readouterr().out
    assert FeatureStore.open(tmp_path / "one").video_ids == ["a"]


def test_import_with_texts(features: dict, tmp_path: Path) -> None:
    count = np.array([3, 20, 1])
    frames = np.zeros((3, 20, 8), np.float32)
    for row, array in enumerate(features.values()):
        frames[row, : count[row]] = array
    np.savez(tmp_path / "f.npz", ids=np.array(list(features)), frames=frames, frame_count=count)
    captions = tmp_path / "captions.csv"
    captions.write_text(
        'video_id,caption,split\na,a dog,train\na,"a cat, red",train\nb_1,a dog,test\nc,,\nc,a cow,val\n'
    )
    whole = np.random.default_rng(1).normal(size=(5, 8)).astype(np.float32)
    whole[2] = whole[0]
    np.save(tmp_path / "whole.npy", whole)
    np.save(tmp_path / "entity.npy", -whole)
    texts = ["--texts", tmp_path / "whole.npy", "--texts", f"muw/entity={tmp_path / 'entity.npy'}"]
    assert call("import", tmp_path / "f.npz", "--out", tmp_path / "s", *MODEL, "--captions", captions, *texts) == 0
    store = check_imported(tmp_path / "s", features)
    assert store.caption_ids == ["a#000", "a#001", "b_1#000", "c#000"]
    assert store.caption_texts == ["a dog", "a cat, red", "a dog", "a cow"]
    assert store.protocols["own"].tolist() == [1, 1, 3, 2]
    table = store.text_table("full", "fusion")
    assert table.sentence == ["a dog", "a cat, red", "a cow"]
    np.testing.assert_array_equal(table.embedding[table.row], whole[[0, 1, 2, 4]].astype(np.float16))
    table = store.text_table("muw", "entity")
    np.testing.assert_array_equal(table.embedding[table.row], -whole[[0, 1, 2, 4]].astype(np.float16))
    assert call("verify", tmp_path / "s") == 0
    assert call("info", tmp_path / "s") == 0


def test_bad_videos_are_recorded(features: dict, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "npy"
    folder.mkdir()
    bad = {
        "empty": (npy(np.zeros((0, 8), np.float32)), r"should hold floats (T, D) or (D,), not float32 (0, 8)"),
        "ints": (npy(np.zeros((2, 8), np.int64)), "should hold floats (T, D) or (D,), not int64 (2, 8)"),
        "wide": (npy(np.zeros((2, 9), np.float32)), "is 9 wide, and the others 8"),
        "nan": (npy(np.full((2, 8), np.nan)), "holds values that are not finite, or too large for float16"),
        "large": (npy(np.full((2, 8), 1e6)), "holds values that are not finite, or too large for float16"),
        "cut": (npy(np.zeros((2, 8)))[:-5], "declares an array (2, 8) of float64, which it does not hold"),
        "pickle": (npy(np.array([{"a": 1}]), allow_pickle=True), "holds pickled objects, which are never opened"),
        "text": (b"hello", "cannot be read"),
    }
    for name, content in {"a": npy(features["a"])}.items():
        (folder / f"{name}.npy").write_bytes(content)
    for name, (content, _) in bad.items():
        (folder / f"{name}.npy").write_bytes(content)
    assert call("import", folder, "--out", tmp_path / "s.h5", *MODEL) == 3
    assert "8 videos could not be used: see " in capsys.readouterr().out
    assert FeatureStore.open(tmp_path / "s.h5").video_ids == ["a"]
    rows = (tmp_path / "s.failures.csv").read_text()
    for name, (_, message) in bad.items():
        assert f"{name}.npy" in rows
        assert message in rows
    for name in ("a", "wide"):
        (folder / f"{name}.npy").unlink()
    before = sorted(tmp_path.iterdir())
    message = fails("import", folder, "--out", tmp_path / "t.h5", *MODEL)
    assert sorted(tmp_path.iterdir()) == before
    assert "npy: no features there can be used (7 arrays; what is wrong with the first: " in message


def test_huge_declared_npy(tmp_path: Path) -> None:
    folder = tmp_path / "npy"
    folder.mkdir()
    content = npy(np.zeros((2, 8), np.float32)).replace(b"(2, 8), }" + b" " * 14, b"(549755813888, 8), }   ")
    assert b"549755813888" in content
    (folder / "a.npy").write_bytes(content)
    assert "declares an array (549755813888, 8) of float32, which it does not hold" in fails(
        "import", folder, "--out", tmp_path / "s.h5", *MODEL
    )


def test_imports_that_are_refused(features: dict, tmp_path: Path) -> None:
    folder = tmp_path / "npy"
    folder.mkdir()
    for name, array in features.items():
        (folder / f"{name}.npy").write_bytes(npy(array))
    csv, texts = tmp_path / "c.csv", tmp_path / "t.npy"
    np.save(texts, np.zeros((1, 8), np.float32))
    (tmp_path / "empty").mkdir()
    (tmp_path / "c.txt").write_text("x")
    np.savez(tmp_path / "bad.npz", frames=np.zeros((2, 3, 8), np.float32))
    (tmp_path / "zip.npz").write_bytes(b"PK not a zip")
    before = sorted(tmp_path.iterdir())
    out = ["--out", tmp_path / "s.h5"]
    sound = [folder, *out, *MODEL]
    for arguments, message in (
        ([folder, *out], "--clip-model and --logit-scale say which model made the features; give both"),
        ([tmp_path / "none", *out, *MODEL], "none does not exist; give a folder of .npy, an .npz or a .tar"),
        ([tmp_path / "c.txt", *out, *MODEL], "c.txt is not a folder of .npy, an .npz or a .tar"),
        ([tmp_path / "empty", *out, *MODEL], "empty holds no features (folder of .npy)"),
        ([tmp_path / "bad.npz", *out, *MODEL], "bad.npz has no array 'ids'; it has frames"),
        ([tmp_path / "zip.npz", *out, *MODEL], "zip.npz cannot be read (File is not a zip file)"),
        ([folder, *out, "--clip-model", "x", "--logit-scale", "-1"], "--logit-scale -1.0 should be a positive number"),
        ([*sound, "--max-frames", "0"], "--max-frames 0 should be at least 1"),
        ([*sound, "--fps", "nan"], "--fps nan should be a positive number"),
        ([*sound, "--captions", csv], "--captions FILE.csv and --texts FILE.npy belong together"),
        ([*sound, "--captions", csv, "--texts", "x/y/z"], "c.csv cannot be read: No such file"),
        (
            [*sound, "--captions", csv, "--texts", "id/a=x.npy"],
            "--texts 'id/a=x.npy' is not FILE.npy or STR",
        ),
    ):
        assert message in fails("import", *arguments)
        assert sorted(tmp_path.iterdir()) == before
    for content, message in (
        ("video_id,split\na,x\n", "c.csv has no column 'caption' (its columns are video_id, split); it may be called"),
        ("video_id,caption,split\na,x,tset\n", "c.csv line 2: split 'tset' does not exist; use train, val, test"),
        ("video_id,caption,split\na,x,\na,y,\n", "t.npy should hold floats (2, 8), a row for each caption of"),
        (
            "caption_id,video_id,caption,split\n1,a,x,\n1,a,y,\n",
            "two captions of video a have the caption_id '1'; make them differ",
        ),
    ):
        csv.write_text(content)
        assert message in fails("import", *sound, "--captions", csv, "--texts", texts)
        assert not (tmp_path / "s.h5").exists()
        assert not (tmp_path / "s.h5.parts").exists()


def test_exports_are_the_same_bytes(store: Path, tmp_path: Path) -> None:
    for name in ("one.npz", "two.npz"):
        assert call("export", store, "--out", tmp_path / name) == 0
    digests = {hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in ("one.npz", "two.npz")}
    assert len(digests) == 1
