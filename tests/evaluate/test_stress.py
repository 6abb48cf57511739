from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from camoe.evaluate.config import EvaluateConfig
from camoe.evaluate.names import RERANKINGS, Reranking
from camoe.evaluate.run import evaluate
from camoe.evaluate.scored import Queries, Scored
from camoe.evaluate.stress import stress_test
from camoe.evaluate.table import render
from camoe.pipeline.reranking.ranks import Banks
from camoe.pipeline.scores import MatrixScores
from hypothesis import given, settings
from hypothesis import strategies as st

Maker = Callable[..., Path]


def make_scored(similarity: np.ndarray, owner: list[int]) -> Scored:
    draw = np.random.default_rng(0)
    texts, videos = ([str(item) for item in range(size)] for size in similarity.shape)
    return Scored(
        queries=Queries(texts, videos, np.array(owner)),
        similarity=similarity,
        v2t="c4c",
        rerankings={
            name: Reranking(name, {"beta": 1.0} if "beta" in kind.required else {}) for name, kind in RERANKINGS.items()
        },
        bank={
            direction: Banks(*(MatrixScores.of(draw.normal(size=(30, gallery))) for _ in range(2)))
            for direction, gallery in (("t2v", similarity.shape[1]), ("v2t", similarity.shape[0]))
        },
    )


@pytest.fixture(scope="module")
def scored() -> Scored:
    draw = np.random.default_rng(1)
    owner = np.repeat(np.arange(120), 2)
    own = owner[:, None] == np.arange(120)
    hubs = 3 * draw.normal(size=120)
    return make_scored(3 * draw.normal(size=(240, 120)) + 8.0 * own + hubs, owner.tolist())


def test_one_query_at_a_time_cannot_change(scored: Scored) -> None:
    found = stress_test(scored).to_json()
    assert found["queries"] == {"t2v": 240, "v2t": 120}
    assert found["repeated_queries"] == {"t2v": 50, "v2t": 50}
    for name in (name for name, kind in RERANKINGS.items() if not kind.transductive):
        for direction in ("t2v", "v2t"):
            batches = found["batches"][name][direction]
            assert list(batches) == ["1", "10", "100", "all"]
            assert len(set(batches.values())) == 1
            assert found["repeated"][name][direction]["alone"] == found["repeated"][name][direction]["repeated"]
        assert found["two_captions"][name]["one"] == found["two_captions"][name]["two"]


def test_all_at_once_is_the_plain_number(scored: Scored) -> None:
    found = stress_test(scored).to_json()
    for name in scored.rerankings:
        ranks = scored.ranks({direction: scored.reranked(name, direction) for direction in ("t2v", "v2t")})
        for direction in ("t2v", "v2t"):
            assert found["batches"][name][direction]["all"] == pytest.approx(100 * np.mean(ranks[direction] == 1))


def test_transductive_methods_depend_on_the_batch(scored: Scored) -> None:
    found = stress_test(scored).to_json()
    alone = found["batches"]["none"]["t2v"]["1"]
    assert found["batches"]["dsl"]["t2v"]["1"] == alone  # a softmax over one query is 1
    assert found["batches"]["dsl"]["t2v"]["all"] > alone + 5
    assert found["batches"]["sinkhorn"]["t2v"]["1"] == 0.0  # every video gets the one text: all tie


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.integers(0, 8), st.integers(0, 2**32 - 1))
def test_what_holds_for_any_scores(videos: int, more_captions: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    owner = [*range(videos), *draw.integers(0, videos, more_captions).tolist()]
    found = stress_test(make_scored(5 * draw.normal(size=(len(owner), videos)), owner), seed % 7)
    for direction, queries in (("t2v", len(owner)), ("v2t", videos)):
        assert found["queries"][direction] == queries
        for name in (name for name, kind in RERANKINGS.items() if not kind.transductive):
            assert len(set(found["batches"][name][direction].values())) == 1
        if queries > 1:
            assert found["batches"]["dsl"][direction]["1"] == found["batches"]["none"][direction]["1"]
    assert (found["two_captions"] is None) == (more_captions == 0)


def test_a_repeated_query_under_dsl() -> None:
    """Two texts, two videos. Once, text 0 finds video 0 although video 1 scores higher, since text 1 claims video 1;
    100 times, it shares video 0 with its copies, and video 1 wins."""
    scored = make_scored(np.array([[2.0, 3.0], [0.0, 6.0]]), [0, 1])
    # alone: 2 · e²/(e²+1) = 1.76 against 3 · e³/(e³+e⁶) = 0.14
    # 100 times: 2 · e²/(100 e²+1) = 0.020 against 3 · e³/(100 e³+e⁶) = 0.025
    found = stress_test(scored, seed=0).to_json()
    assert found["repeated"]["none"]["t2v"] == {"alone": 50.0, "repeated": 50.0}
    assert found["repeated"]["dsl"]["t2v"] == {"alone": 100.0, "repeated": 50.0}


def test_two_captions_of_a_video_under_dsl() -> None:
    """The second caption of video 0 takes most of its prior, so that the first one prefers video 1."""
    scored = make_scored(np.array([[3.0, 2.0], [9.0, 0.0], [0.0, 2.0]]), [0, 0, 1])
    found = stress_test(scored).to_json()
    assert found["two_captions"]["none"] == {"one": 100.0, "two": 100.0}
    assert found["two_captions"]["dsl"] == {"one": 100.0, "two": 0.0}
    assert stress_test(make_scored(np.eye(3), [0, 1, 2]))["two_captions"] is None


def test_the_table_shows_it(random_run: Path, store_maker: Maker, run_maker: Maker) -> None:
    text = render(evaluate(EvaluateConfig(run=random_run, stress=True)))
    assert "stress test: R@1 of 80 t2v and 40 v2t" in text
    line = next(line for line in text.splitlines() if line.split()[:2] == ["querybank", "v2t"])
    numbers = line.split()[2:]
    assert numbers[0] == numbers[1] == numbers[2]
    assert numbers[-2:] == ["-", "-"]
    single = store_maker("one.h5", np.eye(4), np.eye(4), range(4), ["test"] * 4)
    assert "stress test" in render(evaluate(EvaluateConfig(run=run_maker("one", single), stress=True)))
