"""Every re-ranking against a slow, obvious version in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from camoe.pipeline.errors import ArrayError
from camoe.pipeline.reranking.kinds import ALL_QUERIES, BOTH_BANKS, NOTHING, RERANKINGS
from camoe.pipeline.reranking.neighbours import distribution_normalised
from camoe.pipeline.reranking.query_bank import QueryBank
from camoe.pipeline.reranking.table import RERANKERS, rerank
from hypothesis import given, settings
from hypothesis import strategies as st

Array = np.ndarray


def best_mean(rows: Array, k: int) -> Array:
    """Of every column, the mean of its k largest."""
    return np.array([np.mean(sorted(column)[-k:]) for column in rows.T])


def hubs(bank: Array, k: int) -> set[int]:
    return {item for row in bank for item in range(len(row)) if row[item] >= sorted(row)[-k]}


def log_factor(sim: Array, bank: Array, beta: float) -> Array:
    return beta * sim - np.log(np.exp(beta * bank).sum(0))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 9), st.integers(0, 2**32 - 1), st.data())
def test_equals_the_slow_version(queries: int, items: int, banked: int, seed: int, data: st.DataObject) -> None:
    draw = np.random.default_rng(seed)
    sim, bank, kin = (draw.normal(size=(rows, items)) for rows in (queries, banked, banked))
    k, share = data.draw(st.integers(1, banked)), data.draw(st.floats(-2, 2))
    nearest = best_mean(sim.T, min(k, items))[:, None]
    expected = {
        ("nnn", "alpha", share, "k", k): sim - share * best_mean(bank, k),
        ("csls", "k", k): 2 * sim - nearest - best_mean(bank, k),
        ("inverted-softmax", "beta", 1.3): log_factor(sim, bank, 1.3),
        ("dn", "dn_lambda", share): sim - share * bank.mean(0),
    }
    for (name, *options), answer in expected.items():
        given_options = dict(zip(options[::2], options[1::2], strict=True))
        found = rerank(sim, name, bank_sim=bank, **given_options)
        np.testing.assert_allclose(found, answer, rtol=1e-9, atol=1e-9, err_msg=name)
        turned = rerank(sim.T, name, "v2t", bank_sim=bank.T, **given_options)
        np.testing.assert_allclose(turned, answer.T, rtol=1e-9, atol=1e-9, err_msg=name)
    found = rerank(sim, "dualis", bank_sim=bank, gallery_bank_sim=kin, beta1=1.3, beta2=0.4)
    np.testing.assert_allclose(found, log_factor(sim, bank, 1.3) + log_factor(sim, kin, 0.4), rtol=1e-9, atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5), st.integers(1, 5), st.integers(1, 5), st.integers(0, 2**32 - 1), st.data())
def test_dualdis_orders_each_row_as_its_product(
    queries: int, items: int, banked: int, seed: int, data: st.DataObject
) -> None:
    draw = np.random.default_rng(seed)
    sim, bank, kin = (draw.uniform(0.1, 2, size=(rows, items)) for rows in (queries, banked, banked))
    k = data.draw(st.integers(1, items))
    factors = []
    for one, beta in ((bank, 1.3), (kin, 0.4)):
        changed = [[int(row.argmax()) in hubs(one, k)] for row in sim]
        factors.append(np.where(changed, np.exp(log_factor(sim, one, beta)), sim))
    found = rerank(sim, "dualdis", bank_sim=bank, gallery_bank_sim=kin, beta1=1.3, beta2=0.4, k=k)
    np.testing.assert_array_equal(np.argsort(found, axis=1), np.argsort(factors[0] * factors[1], axis=1))


def test_dualdis_leaves_a_query_that_no_bank_changes_alone() -> None:
    """Published, its scores are squared, which turns negative ones round."""
    sim = np.array([[-1.0, -0.5, -9.0]])
    bank = np.array([[0.0, 0.0, 5.0]])
    assert rerank(sim, "dualdis", bank_sim=bank, gallery_bank_sim=bank).tolist() == sim.tolist()


def test_dualdis_neither_overflows_nor_ties_at_large_scores() -> None:
    sim = np.array([[4000.0, 3900.0, 3800.0]])
    bank = np.array([[100.0, 0.0, 0.0]])
    found = rerank(sim, "dualdis", bank_sim=bank, gallery_bank_sim=-bank, beta1=1.0, beta2=1.0)
    assert np.isfinite(found).all()
    assert found.argmax() == 1 or found[0, 0] > found[0, 1]


def test_csls_ranks_as_nnn_at_one_half() -> None:
    draw = np.random.default_rng(0)
    sim, bank = draw.normal(size=(9, 7)), draw.normal(size=(12, 7))
    csls = rerank(sim, "csls", bank_sim=bank, k=4)
    nnn = rerank(sim, "nnn", bank_sim=bank, k=4, alpha=0.5)
    np.testing.assert_array_equal(csls.argsort(1), nnn.argsort(1))


def test_dn_of_scores_ranks_as_dn_of_embeddings() -> None:
    draw = np.random.default_rng(1)
    query, gallery, bank, sample = (draw.normal(size=(rows, 6)) for rows in (9, 7, 12, 11))
    found = rerank(query @ gallery.T, "dn", bank_sim=bank @ gallery.T, dn_lambda=0.5)
    embedded = distribution_normalised(query, bank, 0.5) @ distribution_normalised(gallery, sample, 0.5).T
    np.testing.assert_allclose(np.diff(found, axis=1), np.diff(embedded, axis=1), atol=1e-12)


def test_a_bank_smaller_than_k_counts_whole() -> None:
    draw = np.random.default_rng(2)
    sim, bank = draw.normal(size=(3, 4)), draw.normal(size=(5, 4))
    np.testing.assert_allclose(rerank(sim, "nnn", bank_sim=bank), sim - 0.75 * bank.mean(0), atol=1e-15)


def test_bank_sinkhorn_balances_the_bank() -> None:
    """At many iterations the items' scale is that of Sinkhorn over the bank itself, up to a constant."""
    draw = np.random.default_rng(3)
    sim, bank = draw.normal(size=(3, 4)), draw.normal(size=(8, 4))
    found = rerank(sim, "bank-sinkhorn", bank_sim=bank, iterations=300) - sim
    of_items = rerank(bank, "sinkhorn", iterations=300) - bank
    of_items -= of_items[:, :1]
    np.testing.assert_allclose(found - found[:, :1], of_items[:3], atol=1e-9)


def test_a_hub_needs_as_many_hits_as_are_asked() -> None:
    bank = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    assert QueryBank.of(bank, 1.0).is_hub.tolist() == [True, True]
    assert QueryBank.of(bank, 1.0, hits=2).is_hub.tolist() == [True, False]


def test_the_table_is_whole_and_says_what_each_needs() -> None:
    assert list(RERANKERS) == list(RERANKINGS)
    sim = np.random.default_rng(4).normal(size=(6, 6))
    for name, kind in RERANKINGS.items():
        options = {option: 1.0 if option == "beta" else sim for option in kind.required}
        assert rerank(sim, name, **options).shape == sim.shape
        fitted = RERANKERS[name](**{**kind.defaults, **({"beta": 1.0} if "beta" in kind.required else {})})
        assert bool(fitted.over_queries) == (kind.needs == ALL_QUERIES) == kind.transductive
        assert bool(fitted.over_gallery_bank) == (kind.needs == BOTH_BANKS)
        assert bool(fitted.over_bank) == (kind.needs not in (ALL_QUERIES, NOTHING))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("nnn", {}, "re-ranking 'nnn' needs the option 'bank_sim'"),
        ("nnn", {"bank_sim": np.eye(3), "k": 0}, "nnn's k is 0; choose a whole number from 1"),
        ("nnn", {"bank_sim": np.eye(3), "alpha": np.nan}, "nnn's alpha is nan; choose a finite number"),
        ("csls", {"bank_sim": np.eye(3), "k": 1.5}, "csls's k is 1.5; choose a whole number from 1"),
        ("csls", {"bank_sim": np.eye(4)}, "bank_sim has 4 gallery items and sim 3"),
        ("dualis", {"bank_sim": np.eye(3)}, "needs the option 'gallery_bank_sim'"),
        ("dualis", {"bank_sim": np.eye(3), "gallery_bank_sim": np.eye(3), "beta1": -1}, "dualis's beta1 is -1"),
        (
            "dualdis",
            {"bank_sim": np.eye(3), "gallery_bank_sim": np.eye(3), "k": 4},
            "k is 4; .* from 1 to 3, the gallery",
        ),
        ("bank-sinkhorn", {"bank_sim": np.eye(3), "iterations": 0}, "bank-sinkhorn's iterations is 0"),
        ("dn", {"bank_sim": np.full((2, 3), np.inf)}, "bank_sim contains infinite values"),
    ],
)
def test_mistakes_are_named(name: str, options: dict, message: str) -> None:
    with pytest.raises(ArrayError, match=message):
        rerank(np.eye(3), name, **options)
