"""The data behind the page, on arrays small enough to see through."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from camoe.evaluate.metrics import summarise_ranks
from camoe.evaluate.report.choose import (
    ambiguous_rows,
    best_items,
    choose_queries,
    disagreements,
    most_found,
    rank_bins,
    recall_curve,
    rerank_effect,
)
from camoe.evaluate.report.numbers import chance_metrics
from camoe.evaluate.report.survey import own_margins, survey
from camoe.pipeline.reranking.table import make, rerank
from camoe.pipeline.scores import MatrixScores
from hypothesis import given
from hypothesis import strategies as st

SCORES = np.array([[3.0, 1.0, 0.0], [2.0, 1.0, 0.0], [5.0, 1.0, 4.9], [0.0, 9.0, 1.0]])
OWNER = np.array([0, 1, 2, 1])
RANKS = np.array([1, 2, 2, 1])


@pytest.mark.parametrize("piece", [3, 10**6])
def test_survey(monkeypatch: pytest.MonkeyPatch, piece: int) -> None:
    """Whether the scores come in blocks of one query or all at once."""
    monkeypatch.setattr("camoe.pipeline.scores.PIECE", piece)
    found = survey(MatrixScores.of(SCORES), torch.from_numpy(OWNER), torch.arange(3), make("dsl", {}))
    np.testing.assert_allclose(found.margins, [2.0, -1.0, -0.1, 8.0])
    assert (found.first.tolist(), found.among_ten.tolist()) == ([3, 1, 0], [4, 4, 4])
    after = rerank(SCORES, "dsl").argmax(axis=1)
    assert found.first_after is not None
    assert found.first_after.tolist() == np.bincount(after, minlength=3).tolist() != [3, 1, 0]


def test_margin_where_there_is_no_other() -> None:
    assert own_margins(torch.ones(1, 1), torch.ones(1, 1, dtype=torch.bool)).tolist() == [np.inf]


def test_chosen_queries() -> None:
    chosen = choose_queries(np.array([1, 7, 1, 2, 7]), np.array([0.5, -3, 0.1, -1, -3]), 2, seed=0)
    assert chosen.worst == [1, 4]
    assert chosen.luckiest == [2, 0]
    assert len(set(chosen.sample)) == 2


def test_nothing_that_is_found_first_is_among_the_worst() -> None:
    assert choose_queries(np.array([1, 1]), np.ones(2), 5, seed=0).worst == []
    assert choose_queries(np.array([2, 3]), -np.ones(2), 5, seed=0).luckiest == []


def test_the_sample_is_fair() -> None:
    """Whatever the ranks are, every query is drawn equally often."""
    drawn = np.zeros(10)
    for seed in range(600):
        drawn[choose_queries(np.arange(1, 11), np.zeros(10), 3, seed).sample] += 1
    assert abs(drawn / 600 - 0.3).max() < 0.08


def test_best_items_keep_the_order_of_equal_ones() -> None:
    assert best_items(np.array([[1.0, 2.0, 2.0, 0.0]]), 3).tolist() == [[1, 2, 0]]


@given(st.lists(st.integers(1, 60), min_size=1, max_size=40))
def test_recall_curve_says_what_the_metrics_say(ranks: list[int]) -> None:
    at, recall = recall_curve(np.array(ranks), 60)
    metrics = summarise_ranks(np.array(ranks))
    for k in (1, 5, 10, 50):
        assert recall[np.searchsorted(at, k, side="right") - 1] == pytest.approx(metrics[f"R@{k}"])
    assert (at[0], at[-1], recall[-1]) == (1, 60, 100)


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=40), st.integers(0, 3000))
def test_every_query_is_in_one_bin(ranks: list[int], more: int) -> None:
    bins = rank_bins(np.array(ranks), max(ranks) + more)
    assert sum(count for _, count in bins) == len(ranks)


def test_bins_end_where_the_gallery_does() -> None:
    assert rank_bins(np.array([1, 2, 4]), 8) == [("1", 1), ("2", 1), ("3–5", 1), ("6–8", 0)]


def test_most_found() -> None:
    assert most_found(np.array([3, 5, 5, 0]), np.array([3, 0, 1, 0]), 3) == [2, 1, 0]


def test_effect_goes_by_the_ratio_of_ranks() -> None:
    effect = rerank_effect(np.array([10, 100, 1, 5]), np.array([1, 20, 3, 5]), 2)
    assert (effect.better, effect.worse, effect.same) == (2, 1, 1)
    assert effect.gained == [0, 1]
    assert effect.lost == [2]


def test_disagreements() -> None:
    assert disagreements(np.array([[1, 10, 4], [1, 100, 1], [1, 50, 8]]), 3) == [1, 2]


def test_ambiguous_captions_stand_on_several_videos() -> None:
    texts = ["a dog", "A  dog ", "a cat", "a cat", "a bird"]
    assert ambiguous_rows(texts, np.array([0, 1, 2, 2, 3])) == {0: 2, 1: 2}


def test_chance() -> None:
    even = chance_metrics(np.full(20, 2), "t2v", "c4c")
    assert even == {"R@1": 5.0, "R@5": 25.0, "R@10": 50.0, "MdR": 10.5, "MnR": 10.5}
    assert chance_metrics(np.array([1, 2]), "v2t", "c4c") is None
    assert chance_metrics(np.array([2, 2]), "v2t", "ce") is None


def test_chance_is_what_guessing_gives() -> None:
    ranks = np.random.default_rng(0).integers(1, 21, 200_000)
    found, expected = summarise_ranks(ranks), chance_metrics(np.ones(20, int), "t2v", "c4c")
    assert expected is not None
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=0.5), name
