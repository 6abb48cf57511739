from __future__ import annotations

from pathlib import Path

import pytest
from camoe.pipeline.config import dump_config, load_config
from camoe.pipeline.errors import CamoeError
from camoe.train.config import TrainConfig


def config(**changes: object) -> TrainConfig:
    return TrainConfig(**({"features": "x.h5"} | changes))  # type: ignore[arg-type]


def test_strategy_per_stream() -> None:
    assert config().strategies == {"fusion": "full", "entity": "muw", "action": "muw"}
    assert config(strategy="rkw,action=akwe").strategies == {"fusion": "full", "entity": "rkw", "action": "akwe"}
    assert config(strategy="action=full").strategies == {"fusion": "full", "entity": "muw", "action": "full"}


def test_weights_sum_to_one() -> None:
    assert config().weights == (1 / 3, 1 / 3, 1 / 3)
    assert config(stream_weights="2,1,1").weights == (0.5, 0.25, 0.25)


def test_folder() -> None:
    assert config(model="meanp", loss="ce", seed=4).folder == Path("runs/meanp-ce-4")
    assert config(out="x").folder == Path("x")


def test_yaml_round_trip(tmp_path: Path) -> None:
    original = config(strategy="rkw,action=akwe", out="runs/x", patience=3, experts=4, aggregator="mean,se,se,mean")
    (tmp_path / "c.yaml").write_text(dump_config(original))
    assert load_config(TrainConfig, tmp_path / "c.yaml") == original


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": ()}, "features is empty"),
        ({"gate": "sinlge"}, "gate must be one of none, single, full, not 'sinlge'; did you mean 'single'"),
        ({"aggregator": "max"}, "aggregator must be one of mean, se, attention, not 'max'"),
        (
            {"model": "clip"},
            "model must be one of camoe, meanp, temporal, frame-attention, seqtransf, xpool, query-scoring, afa, "
            "tmass, dicosa, ti, wti, xclip, zero-shot, not",
        ),
        ({"model": "wti"}, "model wti reads the words of whole captions; give streams fusion"),
        (
            {"model": "xpool", "own_loss": 1.0},
            "own_loss has no effect on model xpool; leave it out, or train model tmass or dicosa or ti or wti",
        ),
        ({"model": "xpool", "trials": 3}, "trials has no effect on model xpool"),
        ({"model": "frame-attention", "emcl": True}, "emcl has no effect on model frame-attention; leave it out"),
        ({"model": "tmass", "trials": -1}, "trials must be at least 0, not -1"),
        ({"aggregator": "mean,se"}, "aggregator names 2 aggregators for 3 experts; give 1 or 3"),
        ({"gate": "none", "experts": 4}, "gate none leaves 1 expert unused"),
        ({"streams": "entity,action"}, "gate single mixes the experts for the fusion stream; add fusion"),
        ({"streams": "fusion,fusion"}, "streams names one of fusion, fusion twice"),
        ({"stream_weights": "1,2"}, "stream_weights must be 3 numbers from 0"),
        ({"stream_weights": "0,0,0"}, "stream_weights must be 3 numbers from 0, not all 0"),
        ({"strategy": "scene=rkw"}, "strategy names stream 'scene'; it can name entity, action"),
        ({"strategy": "fusion=rkw"}, "strategy names stream 'fusion'; it can name entity, action"),
        ({"strategy": "rkw,muw"}, "strategy rkw,muw names two for all streams"),
        ({"model": "meanp", "gate": "full"}, "gate has no effect on model meanp; leave it out, or train model camoe"),
        ({"model": "zero-shot", "text_head": "linear"}, "text_head has no effect on model zero-shot"),
        ({"padding": "published"}, "padding has no effect on model camoe; leave it out, or train model xpool"),
        ({"model": "xpool", "text_head": "linear"}, "text_head has no effect on model xpool; leave it out, or train"),
        ({"experts": 10**9}, "experts must be at most 256, not 1000000000"),
        ({"attention_layers": 10**9}, "attention_layers must be at most 64, not 1000000000"),
        ({"learning_rate": float("inf")}, "learning_rate must be a finite number"),
        ({"stream_weights": (1.0, float("inf"), 1.0)}, "stream_weights must be 3 numbers"),
        ({"streams": tuple(map(str, range(300)))}, "streams has 300 entries; at most 256 make sense"),
        ({"batch_size": 1}, "batch_size must be at least 2, not 1"),
        ({"loss_temperature": 0}, "loss_temperature must be a positive number, not 0.0"),
        ({"dropout": 1}, "dropout must be at least 0 and below 1, not 1.0"),
        ({"epochs": 0}, "epochs must be at least 1, not 0"),
        ({"validation_fraction": 1.0}, "validation_fraction must be between 0 and 1, not 1.0"),
    ],
)
def test_mistakes(changes: dict, message: str) -> None:
    with pytest.raises(CamoeError) as caught:
        config(**changes)
    assert message in str(caught.value)
