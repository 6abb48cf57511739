"""Every head as a model of camoe-train: trained, read back, scored, starred and refused where it has to be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from camoe.evaluate.config import EvaluateConfig
from camoe.evaluate.run import evaluate
from camoe.evaluate.search.searcher import Searcher
from camoe.pipeline.errors import CamoeError
from camoe.pipeline.store import FeatureStore
from camoe.train.config import TrainConfig
from camoe.train.data import load_features
from camoe.train.model import build_model
from camoe.train.run import fit
from camoe.train.run_folder import load_run
from camoe.train.scoring import RunScorer
from camoe.train.step import backward

HEADS = ("query-scoring", "afa", "xpool", "tmass", "dicosa", "ti", "wti", "xclip", "seqtransf", "meanp")
READ_WORDS = ("ti", "wti", "xclip")
LEARN = [name for name in HEADS if name not in ("query-scoring",)]


@pytest.fixture
def config(worded_store_path: Path, tmp_path: Path) -> Callable[..., TrainConfig]:
    def make(**changes: object) -> TrainConfig:
        values: dict = {
            "features": (str(worded_store_path),),
            "out": tmp_path / "run",
            "streams": "fusion",
            "device": "cpu",
        }
        return TrainConfig(**(values | {"epochs": 2, "batch_size": 8, "learning_rate": 1e-3} | changes))

    return make


Make = Callable[..., TrainConfig]


def train_losses(path: Path) -> list[float]:
    rows = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    return [row["loss"] for row in rows if "loss" in row]


@pytest.mark.parametrize("name", HEADS)
def test_a_head_trains_and_evaluates(name: str, config: Make, worded_store_path: Path) -> None:
    path = fit(config(model=name))
    run = load_run(path)
    scores = RunScorer(run, FeatureStore.open(worded_store_path), device="cpu").score().similarity
    assert scores.shape == (16, 8)
    assert run.record["parameters"] > 0 or name == "query-scoring"
    if name != "query-scoring":
        assert all(torch.isfinite(torch.tensor(train_losses(path))))
    evaluation = evaluate(EvaluateConfig(run=path, device="cpu"))
    assert not evaluation.rerankings["none"].transductive


@pytest.mark.parametrize("name", LEARN)
def test_training_with_each_loss_changes_every_part(name: str, config: Make) -> None:
    for loss in ("ce", "dsl"):
        recipe = config(model=name, loss=loss).recipe
        store_path = config().features
        features = load_features(
            FeatureStore.open(store_path),
            recipe.features.strategies,
            protocol=None,
            device=torch.device("cpu"),
            raw=recipe.features.raw,
            words=recipe.features.words,
        )
        model = build_model(recipe, features.shape)
        torch.manual_seed(0)
        for parameter in model.parameters():  # away from zeros, which hide gradients behind them
            parameter.data += 0.05 * torch.randn_like(parameter)
        captions = features.captions_of("train")[:16:2]
        draws = model.draw_dropout(
            0.1, texts=8, videos=8, embed_dim=features.shape.embed_dim, generator=torch.Generator().manual_seed(1)
        )
        assert backward(model, features, captions[None], recipe.step, draws).isfinite().all()
        still = [
            key
            for key, parameter in model.named_parameters()
            if parameter.requires_grad and (parameter.grad is None or not parameter.grad.abs().sum() > 0)
        ]
        # a softmax does not see what is added to all of its logits
        assert set(still) <= {
            "cross_attn.k_proj.bias", "frameLinear2.bias", "text_weight_fc.2.bias", "video_weight_fc.2.bias"
        }  # fmt: skip


@pytest.mark.parametrize("name", ["meanp", "xpool", "tmass", "wti", "xclip", "query-scoring"])
def test_emcl_is_starred_and_not_searched(name: str, config: Make) -> None:
    path = fit(config(model=name, emcl=True, epochs=1))
    run = load_run(path)
    assert run.title.startswith(f"{name} + emcl")
    assert run.model.emcl is not None
    assert evaluate(EvaluateConfig(run=path, device="cpu")).rerankings["none"].transductive
    with pytest.raises(CamoeError, match="trained with --emcl, which needs all queries at once"):
        Searcher.open(path)
    with pytest.raises(CamoeError, match="raise --max-matrix-gb"):
        evaluate(EvaluateConfig(run=path, device="cpu", max_matrix_gb=1e-9))


def test_parts_of_a_batch_give_its_gradients_with_a_heads_own_loss(config: Make, tmp_path: Path) -> None:
    whole = load_run(fit(config(model="tmass", epochs=1, captions_per_video=2)))
    parts = load_run(fit(config(model="tmass", epochs=1, captions_per_video=2, accumulate=3, out=tmp_path / "parts")))
    for name, value in whole.model.state_dict().items():
        torch.testing.assert_close(value, parts.model.state_dict()[name], rtol=1e-3, atol=1e-4)


def test_a_heads_own_loss_counts_by_its_weight(config: Make, tmp_path: Path) -> None:
    losses = [
        train_losses(fit(config(model="tmass", epochs=1, own_loss=weight, out=tmp_path / str(weight))))[0]
        for weight in (0.0, 0.8, None)
    ]
    assert losses[0] < losses[1] == losses[2]


@pytest.mark.parametrize("name", READ_WORDS)
def test_a_store_without_words_is_refused_in_a_sentence(name: str, config: Make, store_path: Path) -> None:
    with pytest.raises(CamoeError, match="--tokens"):
        fit(config(model=name, features=(str(store_path),)))


@pytest.mark.parametrize("name", ["query-scoring", "afa", "xpool", "tmass", "dicosa"])
def test_search_finds_with_the_others(name: str, config: Make) -> None:
    searcher = Searcher.open(fit(config(model=name, epochs=1)), device="cpu")
    scores = searcher.ranker.of_texts(searcher.caption_embeddings([0, 1]))
    assert scores.shape[1:] == (2, len(searcher.gallery))
