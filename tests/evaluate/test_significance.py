"""Bootstrap intervals against loops and known variances; hubness against literal answers."""

import numpy as np
import pytest
import torch
from camoe.evaluate.metrics import summarise_ranks
from camoe.evaluate.significance import (
    Difference,
    PairedRecall,
    _draws,
    _weighted_metrics,
    bootstrap_intervals,
    k_occurrence_skewness,
    paired_bootstrap,
)
from camoe.pipeline.errors import CamoeError
from hypothesis import given, settings
from hypothesis import strategies as st


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(0, 4)), min_size=1, max_size=20), st.booleans())
@settings(deadline=None)
def test_weighted_metrics_equal_the_repeated_list(pairs: list[tuple[int, int]], lower_median: bool) -> None:
    pairs = [*sorted(pairs), (100, 1)]
    ranks, weights = np.array(pairs).T
    repeated = np.repeat(ranks, weights)
    fast = _weighted_metrics(ranks, weights[None], lower_median)[0]
    slow = summarise_ranks(repeated, lower_median=lower_median)
    np.testing.assert_allclose(fast, list(slow.values()), atol=1e-9)


def test_clusters_are_drawn_whole() -> None:
    cluster = np.array([0, 0, 1, 2, 2, 2])
    weights = np.concatenate(list(_draws(cluster, 50, np.random.default_rng(0))))
    assert weights.shape == (50, 6)
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, 3] == weights[:, 5]).all()
    assert (weights[:, [0, 2, 3]].sum(1) == 3).all()


def test_width_agrees_with_the_binomial() -> None:
    ranks = np.repeat([1, 30], [300, 700])
    interval = bootstrap_intervals(ranks, resamples=4000)["R@1"]
    assert interval.value == 30.0
    deviation = 100 * np.sqrt(0.3 * 0.7 / 1000)
    assert interval.low == pytest.approx(30 - 1.96 * deviation, abs=0.3)
    assert interval.high == pytest.approx(30 + 1.96 * deviation, abs=0.3)


def test_captions_of_one_video_widen_the_interval() -> None:
    videos = np.random.default_rng(0).choice([1, 20], 100)
    ranks, owner = np.repeat(videos, 16), np.repeat(np.arange(100), 16)  # 16 captions that all find it or all miss it
    alone, together = bootstrap_intervals(ranks)["R@1"], bootstrap_intervals(ranks, owner)["R@1"]
    assert (together.high - together.low) == pytest.approx(4 * (alone.high - alone.low), rel=0.15)
    assert alone.value == together.value


def test_the_seed_decides_and_libraries_agree() -> None:
    ranks = np.random.default_rng(1).integers(1, 80, 200)
    first = bootstrap_intervals(ranks, np.arange(200) // 3, seed=5)
    assert first == bootstrap_intervals(torch.from_numpy(ranks), torch.arange(200) // 3, seed=5)
    assert first != bootstrap_intervals(ranks, np.arange(200) // 3, seed=6)
    assert set(first) == {"R@1", "R@5", "R@10", "R@50", "MdR", "MnR"}
    assert all(interval.low <= interval.value <= interval.high for interval in first.values())


def test_large_inputs_are_drawn_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    ranks = np.random.default_rng(2).integers(1, 80, 50)
    whole = bootstrap_intervals(ranks, resamples=101)
    monkeypatch.setattr("camoe.evaluate.significance.WEIGHTS_AT_ONCE", 170)
    assert bootstrap_intervals(ranks, resamples=101) == whole


def test_one_query_and_one_cluster_cannot_vary() -> None:
    only = bootstrap_intervals(np.array([3]))["MnR"]
    assert (only.value, only.low, only.high) == (3.0, 3.0, 3.0)
    same = bootstrap_intervals(np.array([1, 9]), [4, 4])["R@1"]
    assert (same.low, same.high) == (50.0, 50.0)


def test_paired_bootstrap_of_a_run_with_itself() -> None:
    ranks = np.random.default_rng(3).integers(1, 30, 100)
    for difference in paired_bootstrap(ranks, ranks).values():
        assert (difference.value, difference.low, difference.high, difference.p_value) == (0, 0, 0, 1)


@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(0, 5)), min_size=1, max_size=30),
    st.integers(0, 3),
)
def test_recall_alone_has_the_same_numbers(queries: list[tuple[int, int, int]], seed: int) -> None:
    ours, theirs, clusters = map(np.array, zip(*queries, strict=True))
    numbered = np.unique(clusters, return_inverse=True)[1]
    alone = PairedRecall(int(numbered.max()) + 1, resamples=50, seed=seed).difference(ours, theirs, numbered, k=1)
    assert alone == paired_bootstrap(ours, theirs, clusters, resamples=50, seed=seed)["R@1"]


def test_a_p_value_is_never_shown_as_none() -> None:
    assert [Difference(1.0, 0.0, 2.0, p).p_text for p in (0.0002, 0.0005, 0.0314, 1.0)] == [
        "p < 0.001",
        "p = 0.001",
        "p = 0.031",
        "p = 1.000",
    ]


def test_paired_bootstrap_sees_what_separate_intervals_hide() -> None:
    base = np.random.default_rng(4).choice([1, 20], 400)
    better = np.where(np.arange(400) % 16 == 0, 1, base)  # about 12 queries improve, none gets worse
    own, other = bootstrap_intervals(better)["R@1"], bootstrap_intervals(base)["R@1"]
    assert own.low < other.high
    difference = paired_bootstrap(better, base)
    assert difference["R@1"].low > 0
    assert difference["R@1"].p_value < 0.01
    assert difference["R@1"].value == pytest.approx(own.value - other.value)
    assert difference["MnR"].high < 0
    mirrored = paired_bootstrap(base, better)
    assert mirrored["R@1"].value == -difference["R@1"].value
    assert mirrored["R@1"].p_value == difference["R@1"].p_value


def test_a_false_alarm_is_as_rare_as_it_should_be() -> None:
    random = np.random.default_rng(5)
    p_values = [
        paired_bootstrap(*random.choice([1, 9], (2, 150)), resamples=300, seed=trial)["R@1"].p_value
        for trial in range(200)
    ]
    assert 0.01 <= np.mean(np.array(p_values) < 0.05) <= 0.11


def test_hubness() -> None:
    assert k_occurrence_skewness(np.eye(5), k=1) == 0.0
    hub = np.zeros((4, 4))
    hub[:, 2] = 1.0  # occurrences 0 0 4 0: mean 1, variance 3, third moment (27 - 3) / 4 = 6
    assert k_occurrence_skewness(hub, k=1) == pytest.approx(6 / 3**1.5)
    assert k_occurrence_skewness(torch.from_numpy(hub).half(), k=1) == pytest.approx(6 / 3**1.5)
    assert k_occurrence_skewness(np.zeros((3, 7)), k=2) == 0.0
    assert k_occurrence_skewness(np.random.default_rng(0).normal(size=(30, 8)), k=10) == 0.0
    assert k_occurrence_skewness(np.random.default_rng(0).normal(size=(30, 1))) == 0.0


@given(st.integers(1, 9), st.integers(2, 7), st.integers(1, 6), st.integers(0, 99))
@settings(deadline=None)
def test_hubness_equals_the_slow_version(queries: int, items: int, k: int, seed: int) -> None:
    sim = np.random.default_rng(seed).normal(size=(queries, items))
    counts = np.zeros(items)
    for row in sim:
        counts[np.argsort(-row)[:k]] += 1
    spread = counts.std()
    expected = ((counts - counts.mean()) ** 3).mean() / spread**3 if spread > 0 else 0.0
    assert k_occurrence_skewness(sim, k) == pytest.approx(expected, abs=1e-9)


def test_mistakes_are_named() -> None:
    ranks = np.array([1, 2, 3])
    with pytest.raises(CamoeError, match=r"clusters has shape \(2,\) for 3 queries"):
        bootstrap_intervals(ranks, [0, 1])
    with pytest.raises(CamoeError, match="resamples is 0"):
        bootstrap_intervals(ranks, resamples=0)
    with pytest.raises(CamoeError, match="level is 95"):
        bootstrap_intervals(ranks, level=95)
    with pytest.raises(CamoeError, match="3 and 2 queries"):
        paired_bootstrap(ranks, ranks[:2])
    with pytest.raises(CamoeError, match="non-empty"):
        bootstrap_intervals(np.array([], dtype=int))
    with pytest.raises(CamoeError, match="k of the k-occurrence is 0"):
        k_occurrence_skewness(np.eye(2), 0)
    with pytest.raises(CamoeError, match="NaN"):
        k_occurrence_skewness(np.array([[np.nan, 1.0]]))
