"""What a search costs: bytes by each model's own arithmetic, and times that grow with the gallery."""

from __future__ import annotations

import pytest
import torch
from camoe.evaluate import cost
from camoe.evaluate.cost import SearchCost, search_cost
from camoe.train.config import TrainConfig
from camoe.train.scorer import FeatureShape

D, T, L = 32, 6, 5
SHAPE = FeatureShape(embed_dim=D, max_frames=T, clip_logit_scale=100.0, max_words=L)


def cost_of(model: str, **settings: object) -> SearchCost:
    config = TrainConfig(features=("store.h5",), model=model, **({"streams": ("fusion",)} | settings))
    return search_cost(config.recipe, SHAPE)


@pytest.mark.parametrize(
    ("model", "numbers"),
    [
        ("meanp", D),
        ("seqtransf", D),
        ("afa", D),
        ("query-scoring", T * D),
        ("dicosa", T * D),
        ("xpool", 2 * T * D),
        ("tmass", 3 * T * D),
        ("wti", T * (D + 2)),
    ],
)
def test_an_index_keeps_what_the_model_compares(model: str, numbers: int) -> None:
    assert cost_of(model).bytes_per_video == 2 * numbers


def test_every_stream_has_its_own_vector() -> None:
    assert cost_of("camoe", streams=("fusion", "entity", "action")).bytes_per_video == 3 * 2 * D


def test_a_larger_gallery_costs_more() -> None:
    found = cost_of("xpool").milliseconds
    assert found is not None
    assert 0 < found[1_000] < found[100_000]


def test_what_is_not_measured_is_extrapolated_in_proportion(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "MOST_NUMBERS", 500 * D)
    monkeypatch.setattr(cost, "_seconds", lambda run: 0.001 if run().shape == (1, 500) else 0.0)
    found = cost_of("meanp")
    assert found.milliseconds == {1_000: pytest.approx(2.0), 100_000: pytest.approx(200.0)}
    assert found.extrapolated(1_000)
    assert not found.extrapolated(500)


def test_a_model_that_needs_all_queries_has_no_search() -> None:
    assert cost_of("meanp", emcl=True) == SearchCost(None, 0, None)


def test_threads_are_given_back() -> None:
    before = torch.get_num_threads()
    cost_of("meanp")
    assert torch.get_num_threads() == before
