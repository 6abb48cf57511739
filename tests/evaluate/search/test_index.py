from __future__ import annotations

import builtins
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from camoe.evaluate.search.searcher import Searcher
from camoe.pipeline.errors import CamoeError
from camoe.pipeline.store import FeatureStore
from camoe.pipeline.store.cli import main as store_main
from camoe.pipeline.store.stored import StoredFrames
from camoe.pipeline.store.video_index import VideoIndex, build_index, mean_pooled

pytest.importorskip("faiss")
QUERY = "a pink moon expands over the grass"


@pytest.fixture(scope="module")
def index(world, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("index") / "videos.faiss"
    assert store_main(["export", str(world.store), "--out", str(out)], standalone_mode=False) == 0
    return out


def test_an_indexed_search_ends_in_the_models_own_scores(
    world, searcher: Searcher, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    indexed = Searcher.open(world.run, index=index, device="cpu")
    assert indexed.ranker.vectors.numel() == 0
    expected = searcher.search(QUERY, top=64)
    assert indexed.search(QUERY, top=64) == expected  # fewer videos than candidates: all are compared
    assert indexed.search(like="clip0005") == searcher.search(like="clip0005")
    monkeypatch.setattr("camoe.evaluate.search.ranker.CANDIDATES", 12)
    few = indexed.search(QUERY, top=64)
    assert len(few) == 12
    assert [hit.id for hit in few[:2]] == [hit.id for hit in expected[:2]]
    assert few[0].score == pytest.approx(expected[0].score, abs=1e-3)
    assert len(indexed.search(QUERY, without="grass", top=64)) == 12


def test_with_an_index_frames_stay_in_the_store(world, index: Path) -> None:
    indexed = Searcher.open(world.run, index=index, device="cpu")
    assert isinstance(indexed.gallery.frames, StoredFrames)
    rows = np.array([5, 0, 63, 5])
    np.testing.assert_array_equal(indexed.gallery.frames[rows], FeatureStore.open(world.store).frames()[rows])


def test_the_form_of_an_export_can_be_named(world, tmp_path: Path) -> None:
    out = tmp_path / "videos.faiss"
    assert not store_main(["export", str(world.store), "--to", "faiss", "--out", str(out)], standalone_mode=False)
    assert out.is_file()
    with pytest.raises(
        CamoeError, match=r"--to faiss writes a \.faiss, and .*x\.npz ends otherwise; give --out .*x\.faiss"
    ):
        store_main(
            ["export", str(world.store), "--to", "faiss", "--out", str(tmp_path / "x.npz")], standalone_mode=False
        )


def test_the_cut_off_of_an_indexed_store_without_captions(world, tmp_path: Path) -> None:
    out = tmp_path / "bare.faiss"
    store_main(["export", str(world.bare), "--out", str(out)], standalone_mode=False)
    indexed, plain = (Searcher.open(None, world.bare, index=each, device="cpu") for each in (out, None))
    assert indexed.cutoff.at() == pytest.approx(plain.cutoff.at(), abs=1e-3)


def test_most_of_the_nearest_are_found_in_few_bits() -> None:
    draw = np.random.default_rng(0)
    centres = draw.normal(size=(200, 64))
    vectors = (centres[draw.integers(0, 200, 30_000)] + 0.6 * draw.normal(size=(30_000, 64))).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors += 0.5  # a cone: its mean must not use up the bits
    index = VideoIndex(Path("made-up"), build_index(lambda: np.array_split(vectors, 7), len(vectors)))
    found = []
    for query in vectors[::3000] + 0.1 * draw.normal(size=(10, 64)).astype(np.float32):
        exact = np.argsort(-(vectors @ query))[:10]
        found.append(np.isin(exact, index.nearest(query, 1000)).mean())
    assert np.mean(found) > 0.95


def test_pooled_frames_are_the_zero_shot_vectors(zero_shot: Searcher, world) -> None:
    frames = FeatureStore.open(world.store).frames().astype(np.float32)
    np.testing.assert_allclose(mean_pooled(frames), zero_shot.ranker.vectors[0].numpy(), atol=1e-5)


def test_an_index_that_does_not_fit_is_refused(
    world, index: Path, tmp_path: Path, store_maker: Callable[..., Path]
) -> None:
    other = store_maker("other.h5", np.eye(4), np.eye(4), range(4), ["test"] * 4)
    with pytest.raises(CamoeError, match="was made of other videos"):
        Searcher.open(None, other, index=index)
    damaged = tmp_path / "damaged.faiss"
    content = bytearray(index.read_bytes())
    content[-100] ^= 1
    damaged.write_bytes(content)
    with pytest.raises(CamoeError, match=r"^--index \S+damaged.faiss is damaged \([^/]*\); export it again$"):
        Searcher.open(None, world.store, index=damaged)
    table = tmp_path / "videos.csv"
    table.write_text("rank,id\n1,clip0000\n")
    with pytest.raises(CamoeError, match=r"^--index \S+videos.csv is no index of videos; give a file that camoe-store"):
        Searcher.open(None, world.store, index=table)
    with pytest.raises(CamoeError, match="is not there; make it with camoe-store export"):
        Searcher.open(None, world.store, index=tmp_path / "none.faiss")
    with pytest.raises(CamoeError, match="leave one of them out"):
        Searcher.open(world.run, index=index, subset="test")


def test_the_missing_extra_is_named(world, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: object, **more: object) -> object:
        if name == "faiss":
            raise ImportError("no")
        return real(name, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(CamoeError, match=r"pip install 'camoe\[faiss\]'"):
        store_main(["export", str(world.store), "--out", str(tmp_path / "x.faiss")], standalone_mode=False)
    assert list(tmp_path.iterdir()) == []
