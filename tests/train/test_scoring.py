from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from camoe.pipeline.errors import CamoeError
from camoe.pipeline.store import FeatureStore
from camoe.train.config import TrainConfig
from camoe.train.loop import fit
from camoe.train.run_folder import load_run
from camoe.train.scoring import RunScorer, check_same_clip
from camoe.train.validation import score_matrix

Quick = Callable[..., TrainConfig]


@pytest.fixture
def run_folder(quick: Quick) -> Path:
    return fit(quick(aggregator="attention", gate="full"))


def test_scores_are_the_models(run_folder: Path, store_path: Path) -> None:
    run, store = load_run(run_folder), FeatureStore.open(store_path)
    scorer = RunScorer(run, store, device="cpu")
    scores = scorer.score()
    assert scores.similarity.shape == (80, 40)
    assert scores.similarity.dtype == np.float32
    assert scores.video_ids == [f"v{index:04d}" for index in range(200, 240)]
    assert scores.caption_ids[:2] == ["c00400", "c00401"]
    assert scores.caption_video_ids[:3] == ["v0200", "v0200", "v0201"]
    assert scores.video_of_caption.tolist() == [index // 2 for index in range(80)]
    features = scorer.features
    captions, videos = torch.tensor([403]), torch.tensor([211])
    one = run.model.score(features.texts_of(captions), features.frames[videos], features.mask[videos])
    assert scores.similarity[3, 11] == pytest.approx(one.item(), rel=1e-5)


def test_chunks_change_nothing(run_folder: Path, store_path: Path) -> None:
    scorer = RunScorer(load_run(run_folder), FeatureStore.open(store_path), device="cpu")
    captions, videos = scorer.features.captions_of("test"), scorer.features.videos_of("test")
    whole = score_matrix(scorer.model, scorer.features, captions, videos)
    pieces = score_matrix(scorer.model, scorer.features, captions, videos, chunk=7)
    torch.testing.assert_close(whole, pieces, rtol=1e-5, atol=1e-4)


def test_query_banks(run_folder: Path, store_path: Path) -> None:
    scorer = RunScorer(load_run(run_folder), FeatureStore.open(store_path), device="cpu")
    texts = scorer.score(texts="train", videos="test")
    assert texts.similarity.shape == (320, 40)
    assert set(texts.video_of_caption.tolist()) == {-1}
    assert scorer.score(texts="test", videos="train").similarity.shape == (80, 160)


def test_shuffled_runs_are_scored_on_shuffled_frames(quick: Quick, store_path: Path, tmp_path: Path) -> None:
    store = FeatureStore.open(store_path)
    run = load_run(fit(quick(aggregator="attention", shuffle_frames=True)))
    shuffled = RunScorer(run, store, device="cpu").features.frames
    plain = RunScorer(load_run(fit(quick(out=tmp_path / "plain"))), store, device="cpu").features.frames
    assert not torch.equal(shuffled, plain)


def test_another_store_of_the_same_clip(run_folder: Path, store_maker: Callable[..., Path]) -> None:
    other = FeatureStore.open(store_maker(subsets={"test": 6}, seed=5, max_frames=3, protocols=("msvd",)))
    scorer = RunScorer(load_run(run_folder), other, device="cpu")
    assert (scorer.protocol, scorer.score().similarity.shape) == ("msvd", (12, 6))


def test_an_unknown_hash_identifies_nothing(quick: Quick, tmp_path: Path, store_maker: Callable[..., Path]) -> None:
    """Two models of equal width, both imported without a hash: only their names can tell them apart."""
    run = load_run(fit(quick()))
    run.record["store"] |= {"clip_sha256": "imported", "clip_model": "siglip"}
    store = FeatureStore.open(store_maker("a.h5", subsets={"test": 6}, clip_sha256="imported"))
    with pytest.raises(CamoeError, match=r"trained on features of siglip \(imported\), the store's are of made-up"):
        RunScorer(run, store, device="cpu")
    run.record["store"]["clip_model"] = "made-up"
    assert RunScorer(run, store, device="cpu").score().similarity.shape == (12, 6)


def test_other_streams_are_refused(quick: Quick, store_path: Path) -> None:
    """Where both are known; whole captions read no definition."""
    store = FeatureStore.open(store_path)
    store.settings = replace(store.settings, streams={"fusion": "everything", "entity": "NOUN,PROPN"})
    run = load_run(fit(quick()))
    run.record["store"]["streams"] = {"fusion": "everything", "entity": "NOUN", "action": "VERB"}
    with pytest.raises(CamoeError, match=r"stream entity defined as NOUN, in the store it is NOUN,PROPN; .*--stream"):
        check_same_clip(run, store)
    for known in ({"entity": "NOUN,PROPN"}, {"entity": "imported"}, None):
        run.record["store"]["streams"] = known
        check_same_clip(run, store)
    run.record["store"]["streams"] = {"entity": "NOUN"}
    check_same_clip(replace(run, config=replace(run.config, strategy=("full",))), store)


def test_stores_that_do_not_fit(run_folder: Path, store_maker: Callable[..., Path]) -> None:
    run = load_run(run_folder)
    with pytest.raises(CamoeError, match=r"run was trained on features of made-up \(abab.*extract them with the same"):
        RunScorer(run, FeatureStore.open(store_maker("a.h5", subsets={"test": 6}, clip_sha256="cd" * 32)))
    with pytest.raises(CamoeError, match=r"trained on at most 4 frames a video, the store has 9; .*--max-frames 4"):
        RunScorer(run, FeatureStore.open(store_maker("b.h5", subsets={"test": 6}, max_frames=9)))
    with pytest.raises(CamoeError, match="protocol own has no train captions with features"):
        RunScorer(run, FeatureStore.open(store_maker("c.h5", subsets={"test": 6}))).score(texts="train")


def test_missing_test_videos_are_counted(run_folder: Path, store_maker: Callable[..., Path]) -> None:
    store = FeatureStore.open(store_maker(subsets={"test": 6}, without_features=("v0002",)))
    with pytest.raises(CamoeError, match="2 of 12 captions of protocol own belong to 1 video without features"):
        RunScorer(load_run(run_folder), store)
    scorer = RunScorer(load_run(run_folder), store, allow_missing=True, device="cpu")
    assert scorer.missing_captions == 2
    assert scorer.score().similarity.shape == (10, 5)


def test_a_run_reads_back(run_folder: Path) -> None:
    run = load_run(run_folder)
    assert run.config.gate == "full"
    assert run.protocol == "own"
    assert sorted(path.name for path in run_folder.iterdir()) == [
        "MODEL_CARD.md",
        "config.yaml",
        "metrics.jsonl",
        "model.safetensors",
        "run.json",
    ]


def test_what_is_no_run(run_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(
        CamoeError, match=r"absent is not a run folder \(config.yaml, model.safetensors, run.json missing"
    ):
        load_run(tmp_path / "absent")
    model = run_folder / "model.safetensors"
    whole = model.read_bytes()
    model.write_bytes(whole[:100])
    with pytest.raises(CamoeError, match=r"run is damaged .*train it again"):
        load_run(run_folder)
    model.write_bytes(whole)
    record = json.loads((run_folder / "run.json").read_text())
    record["shape"]["embed_dim"] = 8
    (run_folder / "run.json").write_text(json.dumps(record))
    with pytest.raises(CamoeError, match=r"model\.safetensors is not of the model that config.yaml and run.json"):
        load_run(run_folder)
