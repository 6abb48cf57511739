"""Re-ranking against the reference, literal answers and slow obvious versions; safe at logit scale 100."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from camoe.evaluate.metrics import text_to_video_ranks, video_to_text_ranks
from camoe.evaluate.rerank import RERANKINGS, dual_softmax, dual_softmax_log, query_bank, rerank, sinkhorn
from camoe.pipeline.errors import CamoeError
from hypothesis import given, settings
from hypothesis import strategies as st

Reference = dict[str, np.ndarray]


def slow_dual_softmax(sim: np.ndarray, temperature: float, direction: str) -> np.ndarray:
    answer = np.empty(sim.shape)
    for text, video in np.ndindex(*sim.shape):
        rivals = sim[:, video] if direction == "t2v" else sim[text, :]
        prior = 1 / sum(math.exp((rival - sim[text, video]) / temperature) for rival in rivals)
        answer[text, video] = sim[text, video] * prior
    return answer


def slow_query_bank(sim: np.ndarray, bank: np.ndarray, beta: float, k: int) -> np.ndarray:
    hubs = {item for row in bank for item in range(len(row)) if row[item] >= sorted(row)[-k]}
    answer = sim.copy()
    for query, row in enumerate(sim):
        if any(row[item] == row.max() and item in hubs for item in range(len(row))):
            for item in range(len(row)):
                total = sum(math.exp(beta * b[item]) for b in bank)
                answer[query, item] = math.log(math.exp(beta * row[item]) / total)
    return answer


@st.composite
def matrices(draw: st.DrawFn, columns: int | None = None) -> np.ndarray:
    rows, columns = draw(st.integers(1, 7)), columns or draw(st.integers(1, 7))
    score = st.sampled_from([-3.0, 0.0, 1.0, 2.0]) | st.floats(-20, 20)
    return np.array(draw(st.lists(score, min_size=rows * columns, max_size=rows * columns))).reshape(rows, columns)


@given(matrices(), st.floats(0.2, 1000), st.sampled_from(["t2v", "v2t"]))
@settings(deadline=None)
def test_dual_softmax_equals_the_slow_version(sim: np.ndarray, temperature: float, direction: str) -> None:
    slow = slow_dual_softmax(sim, temperature, direction)
    np.testing.assert_allclose(dual_softmax(sim, temperature, direction), slow, rtol=1e-9, atol=1e-12)
    log_prior = dual_softmax_log(sim, temperature, direction) - sim
    np.testing.assert_allclose(sim * np.exp(log_prior), slow, rtol=1e-9, atol=1e-12)


@given(st.data(), st.integers(1, 5), st.floats(0.01, 5))
@settings(deadline=None)
def test_query_bank_equals_the_slow_version(data: st.DataObject, columns: int, beta: float) -> None:
    sim, bank = data.draw(matrices(columns)), data.draw(matrices(columns))
    k = data.draw(st.integers(1, columns))
    np.testing.assert_allclose(
        query_bank(sim, bank, beta, k), slow_query_bank(sim, bank, beta, k), rtol=1e-9, atol=1e-9
    )


def assert_reference_dsl(reference: Reference, case: int) -> None:
    sim, temperature = reference[f"dsl{case}_sim"], float(reference[f"dsl{case}_temperature"])
    revised = reference[f"dsl{case}_revised_rows"]  # the released code's factor len(sim) included
    np.testing.assert_allclose(dual_softmax(sim, temperature) * len(sim), revised, rtol=1e-12, atol=1e-8)
    columns = dual_softmax(sim.T, temperature, "v2t") * len(sim)
    np.testing.assert_allclose(columns, revised.T, rtol=1e-12, atol=1e-8)


@pytest.mark.parametrize("case", range(4))
def test_reference_dual_softmax(reference_small: Reference, case: int) -> None:
    assert_reference_dsl(reference_small, case)


@pytest.mark.parametrize("case", range(5))
def test_full_reference_dual_softmax(reference_full: Reference, case: int) -> None:
    assert_reference_dsl(reference_full, case)


def assert_reference_bank(reference: Reference) -> None:
    queries, bank = reference["query_sim"].astype(np.float64), reference["bank_sim"].astype(np.float64)
    answer = query_bank(queries, bank, float(reference["bank_beta"]), int(reference["bank_k"]))
    best_ten = np.argsort(-answer, axis=1)[:, :10]
    np.testing.assert_array_equal(best_ten, reference["bank_argsort"])
    np.testing.assert_array_equal(best_ten[:, 0] != queries.argmax(1), reference["bank_changed"])


def test_reference_query_bank(reference_small: Reference) -> None:
    assert_reference_bank(reference_small)


def test_full_reference_query_bank(reference_full: Reference) -> None:
    assert_reference_bank(reference_full)


def test_dual_softmax_literal_answer() -> None:
    sim = np.log(np.array([[3.0, 2.0], [1.0, 2.0], [1.0, 4.0]]))  # priors t2v: 3/5 1/5 1/5 and 2/8 2/8 4/8
    expected = [
        [0.6 * math.log(3), 0.25 * math.log(2)],
        [0.0, 0.25 * math.log(2)],
        [0.0, 0.5 * math.log(4)],
    ]
    np.testing.assert_allclose(dual_softmax(sim), expected, atol=1e-15)
    rows = [[0.6 * math.log(3), 0.4 * math.log(2)], [0.0, 2 / 3 * math.log(2)], [0.0, 0.8 * math.log(4)]]
    np.testing.assert_allclose(dual_softmax(sim, direction="v2t"), rows, atol=1e-15)
    np.testing.assert_allclose(
        dual_softmax_log(sim)[0], [math.log(3) + math.log(0.6), math.log(2) + math.log(0.25)], atol=1e-15
    )


def test_dual_softmax_rescues_a_query_from_a_hub() -> None:
    sim = np.array([[9.0, 8.0], [1.0, 0.0], [12.0, 2.0]])  # video 0 is best for all; text 2 claims it
    assert text_to_video_ranks(sim[[2, 0]]).tolist() == [1, 2]
    for method in ("dsl", "dsl-log", "sinkhorn"):
        assert text_to_video_ranks(rerank(sim[[2, 0]], method)).tolist() == [1, 1], method


def test_raw_dsl_lifts_negative_scores_and_log_does_not() -> None:
    sim = np.array([[-1.0, -9.0], [-0.5, -1.0]])  # text 0 prefers video 0; video 1's prior for it is 0.0003
    assert dual_softmax(sim)[0].argmax() == 1
    assert dual_softmax_log(sim)[0].argmax() == 0


def test_raw_dsl_underflows_to_ties_and_log_does_not() -> None:
    sim = np.array([[1000.0, 900.0, 0.0], [0.0, 2000.0, 2000.0], [3000.0, 0.0, 0.0]])
    assert len(set(dual_softmax(sim)[0].tolist())) == 1
    assert len(set(dual_softmax_log(sim)[0].tolist())) == 3


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1), (3, 7), (7, 3)])
@pytest.mark.parametrize("method", ["dsl", "dsl-log", "sinkhorn", "querybank"])
@pytest.mark.parametrize("largest", [100.0, 1e6])
def test_non_square_and_large_scores_stay_finite(shape: tuple[int, int], method: str, largest: float) -> None:
    random = np.random.default_rng(0)
    sim = random.uniform(-largest, largest, shape)
    for direction in ("t2v", "v2t"):
        bank_shape = (4, shape[1]) if direction == "t2v" else (shape[0], 4)
        options: dict[str, Any] = {}
        if method == "querybank":
            options = {"bank_sim": random.uniform(-largest, largest, bank_shape), "beta": 20.0}
        answer = rerank(sim, method, direction, **options)
        assert answer.shape == shape
        assert np.isfinite(answer).all()


@given(matrices(), st.sampled_from(["dsl", "dsl-log", "sinkhorn"]))
@settings(deadline=None)
def test_the_directions_mirror_each_other(sim: np.ndarray, method: str) -> None:
    np.testing.assert_allclose(rerank(sim, method, "v2t"), rerank(sim.T, method, "t2v").T, rtol=1e-9, atol=1e-9)


def test_query_bank_for_videos_is_the_transposed_problem() -> None:
    random = np.random.default_rng(1)
    sim, bank = random.normal(size=(6, 4)), random.normal(size=(6, 9))  # 9 training videos against the 6 texts
    answer = rerank(sim, "querybank", "v2t", bank_sim=bank, beta=2.0, k=2)
    np.testing.assert_array_equal(answer, query_bank(sim.T, bank.T, 2.0, 2).T)
    assert video_to_text_ranks(answer, [0, 1, 2, 3, 0, 1]).shape == (4,)


def test_query_bank_works_one_query_at_a_time() -> None:
    random = np.random.default_rng(2)
    sim, bank = random.normal(size=(20, 8)), random.normal(size=(5, 8))
    together = query_bank(sim, bank, 3.0)
    changed = (together != sim).any(1)
    assert 0 < changed.sum() < 20
    for query in range(20):
        np.testing.assert_array_equal(query_bank(sim[query : query + 1], bank, 3.0)[0], together[query])


def test_query_bank_leaves_queries_outside_the_activation_set_alone() -> None:
    sim = np.array([[0.9, 0.8, 0.1], [0.1, 0.2, 0.7]])
    bank = np.array([[1.0, 0.0, 0.0], [2.0, 0.0, 0.0]])  # item 0 is the only hub
    answer = query_bank(sim, bank, 1.0)
    assert answer[1].tolist() == sim[1].tolist()
    np.testing.assert_allclose(answer[0, 0], 0.9 - math.log(math.e + math.e**2))
    assert answer[0].argmax() == 1
    assert (query_bank(sim, bank, 1.0, k=3) != sim).all()


def test_sinkhorn_balances_rows_and_columns() -> None:
    sim = np.random.default_rng(3).normal(size=(4, 10))
    plan = np.exp(sinkhorn(sim, iterations=200))
    np.testing.assert_allclose(plan.sum(1), 1.0, atol=1e-9)
    np.testing.assert_allclose(plan.sum(0), 0.4, atol=1e-9)


def test_high_temperature_ranks_as_the_raw_matrix() -> None:
    sim = np.random.default_rng(4).normal(size=(9, 9))
    raw = text_to_video_ranks(sim).tolist()
    assert text_to_video_ranks(dual_softmax(sim, 1e9)).tolist() == raw
    assert text_to_video_ranks(dual_softmax_log(sim, 1e9)).tolist() == raw


@pytest.mark.parametrize("method", ["dsl", "dsl-log", "sinkhorn", "querybank", "none"])
def test_library_and_precision_in_are_out(method: str) -> None:
    sim = np.random.default_rng(5).normal(size=(4, 4))
    options = {"bank_sim": sim, "beta": 1.0} if method == "querybank" else {}
    exact = rerank(sim, method, **options)
    assert exact.dtype == np.float64
    for dtype in (np.float16, np.float32):
        assert rerank(sim.astype(dtype), method, **options).dtype == dtype
    for precision in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        answer = rerank(torch.from_numpy(sim).to(precision), method, **options)
        assert isinstance(answer, torch.Tensor)
        assert answer.dtype == precision
    np.testing.assert_array_equal(rerank(torch.from_numpy(sim), method, **options).numpy(), exact)


def test_float32_is_computed_in_float64() -> None:
    sim = np.random.default_rng(6).uniform(-100, 100, (30, 30)).astype(np.float32)
    np.testing.assert_array_equal(dual_softmax(sim), dual_softmax(sim.astype(np.float64)).astype(np.float32))


def test_the_input_is_not_changed() -> None:
    sim = np.random.default_rng(7).normal(size=(5, 5))
    before = sim.copy()
    for method in ("dsl", "dsl-log", "sinkhorn"):
        rerank(sim, method)
    query_bank(sim, sim, 1.0)
    np.testing.assert_array_equal(sim, before)


def test_the_table_says_what_needs_all_queries() -> None:
    transductive = {name for name, kind in RERANKINGS.items() if kind.transductive}
    assert transductive == {"dsl", "dsl-log", "sinkhorn"}
    sim = np.random.default_rng(8).normal(size=(6, 6))
    for name, kind in RERANKINGS.items():  # drop the last query: is the first query's row still the same?
        options: dict[str, Any] = {option: 1.0 if option == "beta" else sim for option in kind.required}
        unmoved = np.array_equal(rerank(sim, name, **options)[0], rerank(sim[:-1], name, **options)[0])
        assert unmoved == (name not in transductive)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda sim: rerank(sim, "dls"),
            "unknown re-ranking 'dls'; choose from none, dsl, dsl-log, querybank, sinkhorn, nnn",
        ),
        (lambda sim: rerank(sim, "none", "t2t"), "unknown direction 't2t'; choose from t2v, v2t"),
        (lambda sim: rerank(sim, "dsl", beta=1.0), "has no option 'beta'; it knows: temperature"),
        (lambda sim: rerank(sim, "querybank", beta=1.0), "needs the option 'bank_sim'"),
        (lambda sim: dual_softmax(sim, 0.0), "the temperature is 0.0"),
        (lambda sim: dual_softmax_log(sim, -1.0), "the temperature is -1.0"),
        (lambda sim: dual_softmax(sim, math.nan), "the temperature is nan"),
        (lambda sim: dual_softmax(sim, 1e-310), "too small for scores up to 1"),
        (lambda sim: dual_softmax(sim, 1.0, "texts"), "unknown direction 'texts'"),
        (lambda sim: sinkhorn(sim, iterations=0), "iterations is 0"),
        (lambda sim: query_bank(sim, sim[:, :2], 1.0), "bank_sim has 2 gallery items and sim 3"),
        (lambda sim: query_bank(sim, sim, 0.0), "beta is 0.0"),
        (lambda sim: query_bank(sim, sim * 1e3, 1e308), "too large for scores"),
        (lambda sim: query_bank(sim, sim, 1.0, k=4), "k is 4; choose a whole number from 1 to 3"),
        (lambda sim: query_bank(sim, sim[:0], 1.0), r"bank_sim has shape \(0, 3\)"),
        (lambda sim: dual_softmax(sim / 0), "sim contains"),
        (lambda sim: dual_softmax(np.full((2, 2), np.inf)), "infinite values"),
        (lambda sim: query_bank(sim, np.full((2, 3), np.nan), 1.0), "bank_sim contains 6 NaN"),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_mistakes_are_named(call: Any, message: str) -> None:
    with pytest.raises(CamoeError, match=message):
        call(np.eye(3))
