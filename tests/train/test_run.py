from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from camoe.pipeline.errors import CamoeError, RunStoppedError
from camoe.pipeline.store import FeatureStore
from camoe.train.config import TrainConfig
from camoe.train.data import load_features
from camoe.train.loop import cpu_threads, fit
from camoe.train.losses import cross_entropy_loss
from camoe.train.model import build_model
from camoe.train.run_folder import load_run
from camoe.train.scoring import RunScorer
from camoe.train.trainer import batch_loss, schedule
from camoe.train.validation import recall_at_1

Quick = Callable[..., TrainConfig]


def rows(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def held_out_recall(config: TrainConfig) -> float:
    run = load_run(fit(config))
    scores = RunScorer(run, FeatureStore.open(config.features), device="cpu").score()
    return sum(recall_at_1(torch.from_numpy(scores.similarity), torch.from_numpy(scores.video_of_caption))) / 2


@pytest.mark.parametrize("loss", ["ce", "dsl"])
def test_training_beats_zero_shot_on_test_videos(quick: Quick, tmp_path: Path, loss: str) -> None:
    zero_shot = held_out_recall(quick(model="zero-shot", streams="fusion", out=tmp_path / "zero"))
    trained = held_out_recall(quick(loss=loss, epochs=30, learning_rate=3e-3))
    assert 3 < zero_shot < 60
    assert trained > zero_shot + 15


@pytest.mark.parametrize("aggregator", ["mean", "se", "attention"])
def test_the_same_seed_gives_the_same_bits(quick: Quick, tmp_path: Path, aggregator: str) -> None:
    files = [
        (fit(quick(aggregator=aggregator, out=tmp_path / name, seed=seed)) / "model.safetensors").read_bytes()
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    assert files[0] == files[1]
    assert files[0] != files[2]


def test_the_best_epoch_is_kept(quick: Quick) -> None:
    folder = fit(quick(epochs=6, loss="dsl"))
    history = rows(folder)
    assert [row["epoch"] for row in history] == list(range(7))
    run = load_run(folder)
    best = max(history, key=lambda row: (row["R@1"], -row["epoch"]))
    assert run.record["selection"]["epoch"] == best["epoch"]
    scores = RunScorer(run, FeatureStore.open(run.config.features), subset="val", device="cpu").score(
        texts="val", videos="val"
    )
    recall = recall_at_1(torch.from_numpy(scores.similarity), torch.from_numpy(scores.video_of_caption))
    assert recall == (best["t2v_R@1"], best["v2t_R@1"])


def test_patience_stops_early(quick: Quick) -> None:
    folder = fit(quick(epochs=20, patience=1, learning_rate=1e-9))
    assert [row["epoch"] for row in rows(folder)] == [0, 1]
    assert load_run(folder).record["selection"]["epoch"] == 0


def test_zero_shot_trains_nothing_and_needs_no_training_captions(quick: Quick, store_maker: Callable) -> None:
    only_test = store_maker(subsets={"test": 5})
    for streams in ("fusion", "fusion,entity,action"):
        folder = fit(quick(model="zero-shot", streams=streams, features=only_test, overwrite=True))
        record = load_run(folder).record
        assert record["parameters"] == 0
        assert record["selection"] == {"epoch": 0}


def test_the_run_says_where_it_comes_from(quick: Quick, store_path: Path) -> None:
    record = load_run(fit(quick())).record
    assert record["store"]["content_hash"] == FeatureStore.open(store_path).content_hash
    assert record["features"] == [str(store_path)]
    assert record["protocol"] == "own"
    assert record["shortfall"] == {}
    assert record["held_out_videos"] == []
    assert record["counts"] == {"train": {"captions": 320, "videos": 160}, "val": {"captions": 80, "videos": 40}}
    assert record["examples_per_second"] > 0


def test_without_val_captions_training_videos_are_held_out(quick: Quick, store_maker: Callable) -> None:
    config = quick(features=store_maker(subsets={"train": 50, "test": 10}), validation_fraction=0.2)
    run = load_run(fit(config))
    assert len(run.held_out_videos) == 10
    assert run.record["counts"] == {"train": {"captions": 80, "videos": 40}, "val": {"captions": 20, "videos": 10}}
    store = FeatureStore.open(config.features)
    assert RunScorer(run, store, device="cpu").score(texts="val", videos="val").video_ids == run.held_out_videos


def test_a_loss_that_is_no_number_stops_and_leaves_nothing(quick: Quick, tmp_path: Path) -> None:
    message = r"no longer finite at step \d+ \(epoch 1; .*lower --learning-rate \(1e\+30\) or raise --loss-temperature"
    with pytest.raises(RunStoppedError, match=message):
        fit(quick(loss="dsl", learning_rate=1e30, out=tmp_path / "deep" / "er" / "run"))
    assert list(tmp_path.iterdir()) == []


def test_an_existing_run_is_kept_unless_told(quick: Quick, tmp_path: Path) -> None:
    before = (fit(quick()) / "model.safetensors").read_bytes()
    with pytest.raises(CamoeError, match="run is already there; give another --out, or --overwrite to replace it"):
        fit(quick(seed=1))
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == before
    fit(quick(seed=1, overwrite=True))
    assert (tmp_path / "run" / "model.safetensors").read_bytes() != before
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_folder_that_is_no_run_is_never_replaced(quick: Quick, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("x")
    with pytest.raises(CamoeError, match="thesis is not a run folder and is left alone"):
        fit(quick(out=tmp_path / "thesis", overwrite=True))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"protocol": "msvd"}, r"the store has no protocol 'msvd'; choose with --protocol: own"),
        ({"strategy": "rkw"}, r"no texts rkw/entity; it has full/fusion, muw/action, muw/entity"),
        ({"streams": "fusion,scene"}, r"no texts muw/scene"),
        ({"features": "absent.h5"}, r"absent.h5 does not exist"),
    ],
)
def test_what_the_store_lacks_is_named(quick: Quick, tmp_path: Path, changes: dict, message: str) -> None:
    with pytest.raises(CamoeError, match=message):
        fit(quick(**changes))
    assert list(tmp_path.iterdir()) == []


def test_batch_loss_is_the_weighted_sum_over_streams(quick: Quick, store_path: Path) -> None:
    config = quick(loss="ce", stream_weights=(2, 1, 1))
    features = load_features(
        FeatureStore.open(store_path),
        config.strategies,
        raw=config.facts.raw,
        protocol=None,
        device=torch.device("cpu"),
    )
    model = build_model(config.recipe, features.shape)
    captions = features.captions_of("train")[::2][:8]
    videos = features.video_of_caption[captions]
    sim = model.similarity(features.texts_of(captions), features.frames[videos], features.mask[videos])
    expected = sum(weight * cross_entropy_loss(sim[s]) for s, weight in enumerate((0.5, 0.25, 0.25)))
    assert batch_loss(model, features, captions, config.recipe.step).item() == pytest.approx(expected.item(), rel=1e-6)  # type: ignore[union-attr]


def test_schedule() -> None:
    factors = [schedule(step, 100, 0.1) for step in range(100)]
    assert factors[:3] == pytest.approx([1 / 11, 2 / 11, 3 / 11])
    assert factors[10] == 1.0
    assert factors[55] == pytest.approx(0.5)
    assert 0 < factors[99] < 0.001
    assert schedule(0, 10, 0.0) == 1.0


def test_recall_at_1_by_hand() -> None:
    sim = torch.tensor([[3.0, 1.0], [0.0, 2.0], [5.0, 5.0]])
    assert recall_at_1(sim, torch.tensor([0, 1, 1])) == (pytest.approx(200 / 3), 50.0)
    assert recall_at_1(torch.zeros(2, 2), torch.tensor([0, 1])) == (0.0, 0.0)
    assert recall_at_1(torch.zeros(1, 1), torch.tensor([0])) == (100.0, 100.0)


def test_threads_are_given_back(quick: Quick, store_path: Path) -> None:
    features = load_features(
        FeatureStore.open(store_path), quick().strategies, protocol=None, device=torch.device("cpu")
    )
    torch.set_num_threads(2)
    with cpu_threads(features, batch_size=32, threads=None):
        assert torch.get_num_threads() == 1
    with cpu_threads(features, batch_size=1 << 14, threads=None):
        assert torch.get_num_threads() == 2
    with cpu_threads(features, batch_size=32, threads=3):
        assert torch.get_num_threads() == 3
    assert torch.get_num_threads() == 2


def test_tensorboard_events_hold_the_metrics(quick: Quick) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = fit(quick(tensorboard=True, epochs=2))
    events = EventAccumulator(str(folder))
    events.Reload()
    written = [event.value for event in events.Scalars("R@1")]
    assert written == pytest.approx([row["R@1"] for row in rows(folder)])
