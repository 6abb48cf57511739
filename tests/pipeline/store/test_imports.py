"""Features made elsewhere: what changed is refused, what is broken is named, and models stay apart."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from camoe.pipeline.errors import CamoeError
from camoe.pipeline.store import FeatureStore, Shard
from camoe.pipeline.store.build import StoreBuilder
from camoe.pipeline.store.cli import main
from camoe.pipeline.store.export import export_store
from camoe.pipeline.store.failures import failures_path, read_failures
from camoe.pipeline.store.imports import ImportOptions, import_export, import_store
from camoe.pipeline.store.info import describe
from camoe.pipeline.store.merge import merge_stores
from camoe.pipeline.store.verify import verify_store

Mutants = Callable[..., Iterator[bytes]]
OPTIONS = ImportOptions("SigLIP", 117.3)


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    draw = np.random.default_rng(0)
    source = tmp_path / "npy"
    source.mkdir()
    for name in ("a", "b", "c"):
        np.save(source / f"{name}.npy", draw.normal(size=(3, 8)).astype(np.float32))
    return source


@pytest.fixture(params=["s.h5", "folder"])
def out(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / request.param


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(CamoeError) as caught:
        call()
    return str(caught.value)


def test_the_logit_bias_is_kept_on_every_way(folder: Path, tmp_path: Path) -> None:
    options = replace(OPTIONS, logit_bias=-12.9)
    import_store(folder, tmp_path / "folder", options)
    first = FeatureStore.open(tmp_path / "folder")
    assert first.settings.clip_logit_bias == -12.9
    export_store(first, tmp_path / "x.npz")
    import_export(tmp_path / "x.npz", tmp_path / "back.h5")
    merge_stores([tmp_path / "folder"], tmp_path / "merged.h5")
    for name in ("back.h5", "merged.h5"):
        assert FeatureStore.open(tmp_path / name).settings == first.settings
    assert "logit scale 117.3 and bias -12.9, " in describe(first)[1]
    assert "logit-bias nan should be a number" in refused(lambda: replace(OPTIONS, logit_bias=float("nan")))
    other = refused(lambda: import_store(folder, tmp_path / "folder", replace(OPTIONS, logit_bias=-10.0)))
    assert "clip_logit_bias is -12.9 in the store and -10.0 asked for" in other


# -- again into the same store


def test_changed_features_never_pass_for_the_old_ones(folder: Path, out: Path) -> None:
    import_store(folder, out, OPTIONS)
    before = FeatureStore.open(out).content_hash
    assert import_store(folder, out, OPTIONS).videos == 3, "the same once more is no harm"
    changed = np.load(folder / "b.npy")
    changed[2, 7] += 1
    np.save(folder / "b.npy", changed)
    message = refused(lambda: import_store(folder, out, OPTIONS))
    assert message.startswith(
        f"{out} holds other features of video 'b' than {folder / 'b.npy'} has now; give a new --out"
    )
    (folder / "b.npy").write_bytes(b"broken")
    assert "holds video 'b', and now it cannot be used" in refused(lambda: import_store(folder, out, OPTIONS))
    (folder / "b.npy").unlink()
    assert "holds video 'b', which is not there any more" in refused(lambda: import_store(folder, out, OPTIONS))
    assert FeatureStore.open(out).content_hash == before
    assert verify_store([out]) == []


def test_changed_texts_never_pass_for_the_old_ones(folder: Path, out: Path, tmp_path: Path) -> None:
    captions, texts = tmp_path / "c.csv", tmp_path / "t.npy"
    captions.write_text("video_id,caption\na,a man\nb,a cat\nc,a dog\n")
    options = ImportOptions("SigLIP", 117.3, captions=captions, texts={("full", "fusion"): texts})
    np.save(texts, np.eye(3, 8, dtype=np.float32))
    import_store(folder, out, options)
    import_store(folder, out, options)
    np.save(texts, 2 * np.eye(3, 8, dtype=np.float32))
    assert "holds other embeddings of the texts full/fusion" in refused(lambda: import_store(folder, out, options))


def test_source_sizes_are_kept(folder: Path, out: Path) -> None:
    import_store(folder, out, OPTIONS)
    assert FeatureStore.open(out).video_column("source_size").tolist() == [96, 96, 96]


# -- models


def test_two_models_are_never_one(folder: Path, tmp_path: Path) -> None:
    def identity(name: str, **options: str) -> str:
        out = tmp_path / f"{name}-{len(options)}-{len(list(tmp_path.iterdir()))}.h5"
        import_store(folder, out, ImportOptions(name, 100.0, **options))
        return FeatureStore.open(out).settings.clip_sha256

    assert identity("one") == identity("one") != identity("two")
    assert identity("one").startswith("imported:")
    assert identity("one", sha256="ab" * 32) == "ab" * 32
    assert refused(lambda: ImportOptions(" ", 100.0)).startswith("--clip-model is empty; name the model")


# -- captions, as extraction reads them


def test_captions_with_and_without_a_split(folder: Path, out: Path, tmp_path: Path) -> None:
    from camoe.extract.datasets import VideoFile, load_dataset

    captions, texts = tmp_path / "c.json", tmp_path / "t.npy"
    captions.write_text(
        json.dumps({"a.mp4": ["a man", "..."], "zzz": "nobody", "b": {"caption": "a cat"}, "c": "a dog"})
    )
    np.save(texts, np.arange(5)[:, None] * np.ones(8, np.float32))
    import_store(folder, out, ImportOptions("m", 1.0, captions=captions, texts={("full", "fusion"): texts}))
    store = FeatureStore.open(out)
    files = [VideoFile(name, Path(name)) for name in ("a", "b", "c")]
    expected, _ = load_dataset("json", captions, files)
    assert store.caption_texts == expected.text == ["a man", "a cat", "a dog"]
    assert store.caption_video_ids == expected.video_id
    assert store.protocols["own"].tolist() == expected.protocols["own"].tolist()
    assert sorted(store.protocols["own"].tolist()) == [1, 2, 3]
    table = store.text_table("full", "fusion")
    assert table.embedding[table.row][:, 0].tolist() == [0, 3, 4]


def test_windows_that_were_cut_beforehand(folder: Path, out: Path, tmp_path: Path) -> None:
    (folder / "c.npy").rename(folder / "c@1-2.5.npy")
    captions, texts = tmp_path / "c.csv", tmp_path / "t.npy"
    captions.write_text("video_id,caption,start,end\na,a man,,\nc.mp4,a dog,1,2.5\n")
    np.save(texts, np.ones((2, 8), np.float32))
    import_store(folder, out, ImportOptions("m", 1.0, captions=captions, texts={("full", "fusion"): texts}))
    assert FeatureStore.open(out).caption_video_ids == ["a", "c@1-2.5"]


# -- broken arrays


@pytest.mark.soak
def test_broken_npy_are_rows_of_failures(
    folder: Path, tmp_path: Path, mutants: Mutants, soak_count: Callable[[int, int], int]
) -> None:
    """Most damage to the header is read by NumPy in ways of its own; no array ever stops the others."""
    content = (folder / "b.npy").read_bytes()
    header = content[: content.index(b"\n") + 1]
    for name in ("b", "c"):
        (folder / f"{name}.npy").unlink()
    count = soak_count(240, 2000)
    for number, mutant in enumerate(mutants(header, count, seed=3)):
        (folder / f"x{number}.npy").write_bytes(mutant + content[len(header) :])
    for number, mutant in enumerate(mutants(content, count, seed=4)):
        (folder / f"y{number}.npy").write_bytes(mutant)
    done = import_store(folder, tmp_path / "s.h5", OPTIONS)
    assert done.videos + done.failed == 1 + 2 * count
    assert done.failed > count
    assert len(read_failures(failures_path(tmp_path / "s.h5"))) == done.failed
    assert verify_store([tmp_path / "s.h5"]) == []


def test_an_array_that_may_not_be_read_is_a_failure(folder: Path, tmp_path: Path) -> None:
    (folder / "b.npy").unlink()
    (folder / "b.npy").symlink_to(folder / "b.npy")
    (folder / "c.npy").write_bytes(npy(np.zeros((2, 8), np.float32)).replace(b"'<f4'", b"'<f'4"))
    assert import_store(folder, tmp_path / "s.h5", OPTIONS).failed == 1


# -- our own export, back again


def test_what_a_copy_lacks_survives(make_shard: Callable[..., Shard], tmp_path: Path) -> None:
    shard = make_shard(["a", "b", "ü", "ccc", "dx"], has_tokens=True)
    assert shard.captions is not None
    shard.captions.shortfall["own"] = {"expected": {"test videos": 9}, "found": {"test videos": 1}, "missing_videos": 8}
    with StoreBuilder(tmp_path / "s.h5", shard.settings) as builder:
        builder.publish(shard)
        builder.finish()
    assert main(["export", str(tmp_path / "s.h5"), "--out", str(tmp_path / "s.npz")], standalone_mode=False) == 0
    import_export(tmp_path / "s.npz", tmp_path / "back.h5")
    ours, theirs = FeatureStore.open(tmp_path / "back.h5"), FeatureStore.open(tmp_path / "s.h5")
    assert ours.shortfall == theirs.shortfall == {"own": shard.captions.shortfall["own"]}
    assert ours.text_notes == theirs.text_notes
    assert ours.content_hash == theirs.content_hash


@pytest.mark.soak
def test_mutated_exports_are_refused_or_sound(
    make_shard: Callable[..., Shard], tmp_path: Path, mutants: Mutants, soak_count: Callable[[int, int], int]
) -> None:
    """Bytes of the archive, and arrays put into an archive whose sums are right."""
    shard = make_shard(["a", "b", "ü", "ccc", "dx"])
    with StoreBuilder(tmp_path / "s.h5", shard.settings) as builder:
        builder.publish(shard)
        builder.finish()
    assert main(["export", str(tmp_path / "s.h5"), "--out", str(tmp_path / "s.npz")], standalone_mode=False) == 0
    count = soak_count(40, 1000)
    content = (tmp_path / "s.npz").read_bytes()
    broken = tmp_path / "broken.npz"
    for number, mutant in enumerate([*mutants(content, count, seed=5), *_with_other_arrays(tmp_path / "s.npz", count)]):
        broken.write_bytes(mutant)
        target = tmp_path / f"{number}.h5"
        try:
            import_export(broken, target)
        except CamoeError:
            assert not target.exists()
            assert not list(tmp_path.glob(f"{number}.*"))
        else:
            assert verify_store([target]) == [], number
            FeatureStore.open(target)
            target.unlink()


def _with_other_arrays(path: Path, count: int) -> Iterator[bytes]:
    """The archive with one array changed in its values, its type, its length or its name."""
    arrays = dict(np.load(path, allow_pickle=False))
    draw = np.random.default_rng(6)
    for _ in range(count):
        name = str(draw.choice(sorted(arrays)))
        value = arrays[name]
        changes = {
            "shorter": lambda value=value: value[:-1] if value.ndim else value,
            "empty": lambda value=value: value[:0] if value.ndim else value,
            "other type": lambda value=value: value.astype(draw.choice(["f8", "i2", "u1", "U3", "?", ">f4"])),
            "other values": lambda value=value: draw.permutation(value.ravel()[::-1] if value.ndim else [value])[
                : value.size
            ],
            "negative": lambda value=value: -value if value.dtype.kind in "fi" else value,
            "large": lambda value=value: value * 1000 if value.dtype.kind in "fiu" else value,
            "one of all": lambda value=value: np.full_like(value, value.ravel()[0]) if value.size else value,
            "NUL": lambda value=value: np.char.add(value, "\0x") if value.dtype.kind == "U" else value,
            "more axes": lambda value=value: value[None],
        }
        try:
            changed = changes[str(draw.choice(sorted(changes)))]()
        except (ValueError, TypeError, OverflowError):
            continue
        stream = io.BytesIO()
        np.savez(stream, allow_pickle=False, **(arrays | {name: changed}))
        yield stream.getvalue()
