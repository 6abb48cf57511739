"""Wherever features are kept, a run is the same, bit for bit."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from camoe.pipeline.store import FeatureStore
from camoe.train import residence, trainer, validation
from camoe.train.config import TrainConfig
from camoe.train.data import load_features
from camoe.train.ensemble import Ensemble
from camoe.train.feature_cache import FeatureCache
from camoe.train.kept import HeldRows, KeptFrames, finished
from camoe.train.loop import fit
from camoe.train.model import build_model
from camoe.train.run_folder import load_run
from camoe.train.scoring import RunScorer
from camoe.train.validation import validate

CPU = torch.device("cpu")
Quick = Callable[..., TrainConfig]

RUNS: dict[str, dict[str, object]] = {
    "mean": {},
    "attention": {"aggregator": "attention", "loss": "dsl", "duplicate_text": "mask", "accumulate": 3},
    "captions per video": {"captions_per_video": 3, "duplicate_text": "positive", "shuffle_frames": True},
    "as CLIP gave them": {"model": "xpool", "streams": ("fusion",)},
}


def numbers(folder: Path) -> tuple[bytes, list[dict]]:
    """A run's parameters, and its metrics without the clock."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    told = [{name: value for name, value in json.loads(line).items() if name != "seconds"} for line in lines]
    return (folder / "model.safetensors").read_bytes(), told


@pytest.mark.parametrize("options", RUNS.values(), ids=list(RUNS))
def test_the_same_bits_wherever_features_are(quick: Quick, tmp_path: Path, options: dict) -> None:
    found = {
        place: numbers(fit(quick(**options, epochs=2, resident=place, out=tmp_path / place)))
        for place in ("device", "host", "disk")
    }
    assert found["host"] == found["device"]
    assert found["disk"] == found["device"]


def test_a_head_that_reads_words(worded_store_path: Path, quick: Quick, tmp_path: Path) -> None:
    options = {"features": (str(worded_store_path),), "model": "wti", "streams": ("fusion",), "batch_size": 8}
    found = {
        place: numbers(fit(quick(**options, epochs=2, resident=place, out=tmp_path / place)))
        for place in ("device", "host", "disk")
    }
    assert found["host"] == found["device"]
    assert found["disk"] == found["device"]


def test_an_ensemble_takes_the_same_steps(store_path: Path) -> None:
    members: list[dict] = [{"seed": 0}, {"seed": 1, "strategy": "full"}, {"seed": 1, "duplicate_text": "mask"}]
    configs = [TrainConfig(features=(str(store_path),), aggregator="mean", batch_size=32, **own) for own in members]
    recipes = [config.recipe for config in configs]
    found = {}
    for place in ("device", "host", "disk"):
        cache = FeatureCache([str(store_path)], protocol=None, allow_missing=False, device=CPU, resident=place)
        features = [cache.features(recipe.features) for recipe in recipes]
        ensemble = Ensemble([cache.begin_model(recipe) for recipe in recipes], features, recipes)
        found[place] = ensemble.epoch(), ensemble.flat.detach()
    for place in ("host", "disk"):
        assert all(torch.equal(*pair) for pair in zip(found[place], found["device"], strict=True))


@pytest.mark.parametrize("place", ["host", "disk"])
def test_a_cell_after_another_that_takes_embeddings_raw(worded_store_path: Path, place: str) -> None:
    path = str(worded_store_path)
    kept, plain = (
        FeatureCache([path], protocol=None, allow_missing=False, device=CPU, resident=where)
        for where in (place, "device")
    )
    rows = torch.tensor([7, 0, 7])
    for model in ("zero-shot", "xpool", "wti"):  # normalised, as they are, words
        settings = TrainConfig(features=(path,), model=model, streams=("fusion",)).recipe.features
        ours, theirs = kept.features(settings), plain.features(settings)
        assert torch.equal(ours.frames_of(rows), theirs.frames_of(rows))
        assert torch.equal(ours.texts_of(rows), theirs.texts_of(rows))


@pytest.mark.parametrize("threads", [1, 2])
def test_frames_as_wide_as_clips(threads: int) -> None:
    """Enough of them for several threads."""
    frames = torch.randn(300, 12, 512).half()
    count = torch.randint(1, 13, (300,))
    mask = torch.arange(12) < count[:, None]
    torch.set_num_threads(threads)
    whole = finished(frames, raw=False).mul_(mask.unsqueeze(-1))
    kept = KeptFrames(HeldRows(frames.numpy()), CPU, False, mask)
    rows = torch.randperm(300)[:64]
    assert torch.equal(kept.take(rows), whole[rows])


def test_an_evaluation(quick: Quick, store_path: Path) -> None:
    run, store = load_run(fit(quick(shuffle_frames=True))), FeatureStore.open(store_path)
    found = {place: RunScorer(run, store, device="cpu", resident=place) for place in ("device", "host", "disk")}
    for place, scorer in found.items():
        assert scorer.residence.name == place
        assert (scorer.score().similarity == found["device"].score().similarity).all()


GB = 10**9


@pytest.mark.parametrize(
    ("free", "expected"),
    [(100 * GB, "device"), (1_000_000, "device"), (100_000, "host"), (20_000, "disk"), (-GB, "disk")],
)
def test_auto_goes_by_what_is_free(store_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, expected: str) -> None:
    monkeypatch.setattr(residence, "free_host_bytes", lambda: residence.OF_A_RUN + free)
    store = FeatureStore.open(store_path)
    found = residence.choose_residence(store, "auto", [("fusion", "full")], words=False, device=CPU)
    assert found.name == expected
    assert found.told is not None
    assert found.told.startswith(f"resident auto: {expected}, as the features ")


def test_auto_leaves_room_for_other_processes(store_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(residence, "free_host_bytes", lambda: residence.OF_A_RUN + 1_000_000)
    store, texts = FeatureStore.open(store_path), [("fusion", "full"), ("entity", "muw"), ("action", "full")]
    found = [
        residence.choose_residence(store, "auto", texts, words=False, device=CPU, copies=copies).name
        for copies in (1, 8, 80)
    ]
    assert found == ["device", "host", "disk"]


def test_the_limits_of_a_process_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    group = tmp_path / "inner"
    group.mkdir()
    for name, text in (("memory.max", "5000"), ("memory.current", "4000"), ("memory.stat", "anon 9\nactive_file 7\n")):
        (group / name).write_text(text)
    monkeypatch.setattr(residence, "_CGROUPS", {"": (str(tmp_path), "memory.max", "memory.current", "")})
    monkeypatch.setattr(residence, "_own_groups", lambda: "0::/inner\n4:memory:/elsewhere\n")
    assert residence.free_host_bytes() == 1007


class StopError(Exception):
    """Stands for whatever ends a process between two epochs."""


def test_a_run_goes_on_elsewhere(quick: Quick, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = quick(epochs=4, checkpoint_seconds=0, resident="device")
    whole = fit(replace(config, out=tmp_path / "whole"))
    epoch = trainer.Trainer.epoch

    def two_epochs(self: trainer.Trainer, *arguments: object) -> torch.Tensor:
        if self.step >= 2 * self.sampler.steps:
            raise StopError
        return epoch(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(trainer.Trainer, "epoch", two_epochs)
    with pytest.raises(StopError):
        fit(config)
    monkeypatch.undo()
    assert numbers(fit(replace(config, resident="disk"), resume=True)) == numbers(whole)


@pytest.mark.parametrize("resident", ["device", "disk"])
def test_a_large_val_subset_is_ranked_in_blocks(
    store_path: Path, monkeypatch: pytest.MonkeyPatch, resident: str
) -> None:
    config = TrainConfig(features=(str(store_path),), aggregator="mean")
    features = load_features(
        FeatureStore.open(store_path), config.strategies, protocol=None, device=CPU, resident=resident
    )
    model = build_model(config.recipe, features.shape)
    whole = validate(model, features)
    monkeypatch.setattr(validation, "MATRIX_BYTES", 0)
    monkeypatch.setattr(validation, "score_matrix", lambda *arguments: pytest.fail("the matrix was asked for"))
    assert validate(model, features) == whole
    assert whole["R@1"] > 0
