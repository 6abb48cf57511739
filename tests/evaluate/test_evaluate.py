from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from camoe.evaluate.config import EvaluateConfig
from camoe.evaluate.metrics import retrieval_metrics
from camoe.evaluate.names import RERANKINGS
from camoe.evaluate.ranked import rank_subset
from camoe.evaluate.rerank import rerank
from camoe.evaluate.result import Evaluation, read_evaluation, store_name
from camoe.evaluate.run import evaluate
from camoe.evaluate.subject import open_subject
from camoe.evaluate.table import render
from camoe.pipeline.errors import CamoeError
from camoe.pipeline.store import FeatureStore
from camoe.train.run_folder import load_run
from camoe.train.scoring import RunScorer

Maker = Callable[..., Path]


def test_the_json_is_the_same_data(random_run: Path) -> None:
    evaluation = evaluate(EvaluateConfig(run=random_run, rerank=("all",), bootstrap=50, stress=True))
    assert json.loads(evaluation.path.read_text()) == json.loads(json.dumps(evaluation.to_json()))
    assert read_evaluation(evaluation.path) == evaluation
    assert [path.name for path in evaluation.path.parent.glob("*tmp*")] == []


@pytest.mark.soak
def test_no_altered_json_is_a_traceback(
    random_run: Path, tmp_path: Path, soak_count: Callable[..., int], mutants: Callable[..., Iterator[bytes]]
) -> None:
    content = evaluate(EvaluateConfig(run=random_run, rerank=("all",), bootstrap=20, stress=True)).path.read_bytes()
    path, read = tmp_path / "mutant.json", 0
    for mutant in mutants(content, soak_count(200, 1000)):
        path.write_bytes(mutant)
        with suppress(CamoeError):
            read += bool(render(read_evaluation(path)))
    assert read > 0


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "it is empty"),
        ("[" * 100_000, "it is nested too deep"),
        ("[]", "evaluation is a list, not an object"),
        ("{}", "lacks the key 'run'"),
    ],
)
def test_what_is_no_evaluation(content: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(CamoeError, match=sentence):
        read_evaluation(tmp_path / "x.json")


def test_raw_numbers_are_those_of_the_array_functions(random_run: Path) -> None:
    run = load_run(random_run)
    scores = RunScorer(run, FeatureStore.open(run.config.features), device="cpu").score()
    for v2t in ("c4c", "ce"):
        evaluation = evaluate(EvaluateConfig(run=random_run, rerank=("none",), v2t=v2t))
        expected = retrieval_metrics(scores.similarity, scores.video_of_caption, v2t)
        assert {name: evaluation.rerankings["none"][name].to_json() for name in expected} == expected
    assert 10 < expected["t2v"]["R@1"] < 90


def test_every_reranking_differs_from_the_raw_one_and_says_what_it_needs(random_run: Path) -> None:
    evaluation = evaluate(EvaluateConfig(run=random_run, rerank=("all",), bootstrap=0))
    found = evaluation.rerankings
    assert list(found) == list(RERANKINGS)
    needs_all = {name for name, entry in found.items() if entry["transductive"]}
    assert needs_all == {"dsl", "dsl-log", "sinkhorn"}
    for name in found.keys() - {"none"}:
        assert found[name]["t2v"] != found["none"]["t2v"]
    assert found["sinkhorn"]["options"] == {"temperature": 1.0, "iterations": 10}
    assert found["dsl-log"]["hubness"]["t2v"] < found["none"]["hubness"]["t2v"]


def test_all_brings_intervals_around_the_numbers(random_run: Path) -> None:
    evaluation = evaluate(EvaluateConfig(run=random_run, rerank=("all",), bootstrap=200))
    for entry in evaluation.rerankings.values():
        for direction in ("t2v", "v2t"):
            low, high = entry["intervals"][direction]["R@1"]
            assert low < entry[direction]["R@1"] < high
    assert EvaluateConfig(run=random_run, rerank=("all",)).resamples == 2000
    assert EvaluateConfig(run=random_run).resamples == 0
    assert "95 % intervals" in render(evaluation)


def assert_alike(blocks: Evaluation, whole: Evaluation) -> None:
    """Products of other shapes round otherwise: a near tie may fall the other way."""
    assert list(blocks.rerankings) == list(whole.rerankings)
    assert blocks.left_out == whole.left_out
    for name, entry in whole.rerankings.items():
        assert blocks.rerankings[name]["options"] == entry["options"]
        for direction in ("t2v", "v2t"):
            for metric, value in entry[direction].to_json().items():
                assert blocks.rerankings[name][direction][metric] == pytest.approx(value, abs=0.06), (name, metric)
            assert blocks.rerankings[name]["hubness"][direction] == pytest.approx(entry["hubness"][direction], abs=0.02)


def test_large_galleries_are_ranked_in_blocks(random_run: Path, run_maker: Maker, random_store_maker: Maker) -> None:
    store = random_store_maker("large.h5", {"train": 30, "val": 10, "test": 40})
    streams = ("fusion", "entity", "action")
    trained = run_maker("trained", store, model="camoe", streams=streams, aggregator="mean", epochs=2, batch_size=16)
    for run, v2t in ((random_run, "c4c"), (trained, "ce")):
        whole = evaluate(EvaluateConfig(run=run, rerank=("all",), v2t=v2t, bootstrap=0))
        blocks = evaluate(EvaluateConfig(run=run, rerank=("all",), v2t=v2t, bootstrap=0, max_matrix_gb=1e-6))
        assert_alike(blocks, whole)
    assert (blocks.captions, blocks.videos) == (80, 40)


def test_scores_that_are_no_product_are_compared_in_blocks(random_run: Path, run_maker: Maker) -> None:
    run = run_maker("run", random_run.parent / "store.h5", model="xpool", epochs=1, batch_size=16)
    whole = evaluate(EvaluateConfig(run=run, rerank=("all",), bootstrap=0))
    assert whole.rerankings["none"]["t2v"]["R@1"] > 5
    assert_alike(evaluate(EvaluateConfig(run=run, rerank=("all",), bootstrap=0, max_matrix_gb=1e-6)), whole)
    assert list(whole.left_out) == ["dualis", "dualdis"]
    assert "it compares videos with videos" in render(whole)


def test_a_head_without_its_published_start_is_named_so(random_run: Path, run_maker: Maker) -> None:
    run = run_maker("run", random_run.parent / "store.h5", model="seqtransf", epochs=1, batch_size=16)
    whole, blocks = evaluate(EvaluateConfig(run=run)), evaluate(EvaluateConfig(run=run, max_matrix_gb=1e-6))
    assert "seqtransf (no CLIP init) on store" in render(whole)
    assert whole.rerankings["none"]["t2v"]["R@1"] == blocks.rerankings["none"]["t2v"]["R@1"] > 5


def test_shuffled_frames_are_evaluated_shuffled(random_run: Path, run_maker: Maker) -> None:
    run = run_maker("run", random_run.parent / "store.h5", shuffle_frames=True)
    evaluation = evaluate(EvaluateConfig(run=run))
    assert evaluation.training["shuffle_frames"] is True
    assert evaluation.rerankings == evaluate(EvaluateConfig(run=random_run)).rerankings  # one frame a video


def test_coverage_is_told(store_maker: Maker, run_maker: Maker) -> None:
    shortfall = {
        "expected": {"test videos": 3},
        "found": {"test videos": 2},
        "missing_videos": 1,
        "first_missing": ["v0009"],
        "missing_files": [],
    }
    eye = np.eye(4)
    store = store_maker("s.h5", eye, eye, range(4), ["test"] * 4, shortfall=shortfall, without_features=[3])
    run = run_maker("run", store)
    with pytest.raises(CamoeError, match=r"1 of 4 captions of protocol own .*--allow-missing"):
        evaluate(EvaluateConfig(run=run))
    assert not (run / "evaluation").exists()
    evaluation = evaluate(EvaluateConfig(run=run, allow_missing=True))
    assert (evaluation.captions, evaluation.missing_captions, evaluation.shortfall) == (3, 1, shortfall)
    text = render(evaluation)
    assert "3 captions of 3 videos, text to video R@1 of a guess 33.3" in text
    assert "INCOMPLETE: 1 of 4 captions left out" in text
    assert "2 of 3 test videos, 1 video not found (first: v0009)" in text


def test_collaborative_experts_take_the_mean_of_the_middle_two(store_maker: Maker, run_maker: Maker) -> None:
    """Two captions of either video, text to video ranks 1, 1, 2, 2: CLIP4Clip's lower median is 1, theirs 1.5."""
    eye = np.eye(2)
    run = run_maker("run", store_maker("s.h5", eye[[0, 1, 0, 1]], eye, [0, 0, 1, 1], ["test"] * 4))
    medians = {v2t: evaluate(EvaluateConfig(run=run, v2t=v2t)).rerankings["none"].t2v["MdR"] for v2t in ("c4c", "ce")}
    assert medians == {"c4c": 1.0, "ce": 1.5}
    owner = np.array([0, 0, 1, 1])
    assert retrieval_metrics(eye[[0, 1, 0, 1]], owner, "ce")["t2v"]["MdR"] == 1.5


@pytest.mark.parametrize("videos", [1, 49, 50])
def test_few_videos_say_that_they_mean_nothing(videos: int, random_store_maker: Maker, run_maker: Maker) -> None:
    run = run_maker("run", random_store_maker("s.h5", {"train": 10, "test": videos}))
    text = render(evaluate(EvaluateConfig(run=run, rerank=("all",), bootstrap=10, stress=True, compare=run)))
    tables = text.split("\n\n")[1:-1]
    assert len(tables) == 4
    count = f"TOO FEW: {videos} test video{'s' * (videos > 1)}; below 50 these numbers mean nothing"
    assert [table.startswith(count) for table in tables] == [videos < 50] * 4


def test_a_store_that_was_made_otherwise_is_said(random_run: Path, random_store_maker: Maker) -> None:
    """What an earlier version recorded says nothing of sampling, and is not compared on it."""
    other = random_store_maker("other.h5", {"test": 5}, sampling="clip4clip", seed=1)
    config = EvaluateConfig(run=random_run, features=(str(other),))
    run = load_run(random_run)
    run.record["store"] |= {"sampling": "uniform", "fps": 1.0, "max_frames": 12, "tagger": None}
    scorer = open_subject(run, (str(other),)).describe_store()
    assert scorer.made_otherwise == {"sampling": ("uniform", "clip4clip")}
    evaluation = replace(evaluate(config), store=scorer)
    expected = "the store was made otherwise than what the run was trained on: sampling clip4clip instead of uniform"
    assert expected in render(evaluation)
    assert Evaluation.from_json(json.loads(json.dumps(evaluation.to_json()))) == evaluation
    for name in ("sampling", "fps", "max_frames", "tagger"):
        del run.record["store"][name]
    assert open_subject(run, (str(other),)).describe_store().made_otherwise == {}


def test_another_store_is_named_with_its_hash(random_run: Path, random_store_maker: Maker) -> None:
    other = random_store_maker("other.h5", {"test": 5}, protocol="msvd", seed=1)
    evaluation = evaluate(EvaluateConfig(run=random_run, features=(str(other),)))
    digits = FeatureStore.open(other).content_hash[:8]
    assert evaluation.path.name == f"other-{digits}-msvd-test.json"
    assert "the store is not the one the run was trained on" in render(evaluation)
    assert evaluation.gap is None
    assert list(evaluation.left_out) == ["querybank"]


def test_the_gap_between_training_and_validation(store_maker: Maker, run_maker: Maker) -> None:
    """Every training caption finds its video, no val caption does; as many videos of either count."""
    eye = np.eye(5)
    store = store_maker("s.h5", eye[[0, 1, 3, 4, 2]], eye, range(5), ["train"] * 2 + ["val"] * 3)
    gap = evaluate(EvaluateConfig(run=run_maker("run", store), subset="val")).gap
    assert gap is not None
    assert gap.to_json() == {"videos": 2, "train": {"t2v": 100.0, "v2t": 100.0}, "val": {"t2v": 0.0, "v2t": 0.0}}


def test_training_queries_have_no_bank(random_run: Path) -> None:
    evaluation = evaluate(EvaluateConfig(run=random_run, subset="train"))
    assert evaluation.left_out == {"querybank": "its bank would be the queries themselves"}


def test_the_bank_is_drawn_by_seed_and_bounded(random_run: Path) -> None:
    def pool(**changes: object):
        config = EvaluateConfig(run=random_run, **changes)  # type: ignore[arg-type]
        return rank_subset(open_subject(load_run(random_run)).scorer, "test", config.method).scored

    small, same, other = pool(bank_size=7), pool(bank_size=7), pool(bank_size=7, seed=1)
    assert (small.bank["t2v"].queries.shape, small.bank["v2t"].queries.shape) == ((7, 40), (7, 80))
    first, again, another = (one.bank["t2v"].queries.block(slice(None)) for one in (small, same, other))
    assert torch.equal(first, again)
    assert not torch.equal(first, another)


def test_the_bank_is_the_training_subset(random_run: Path) -> None:
    run = load_run(random_run)
    scorer = RunScorer(run, FeatureStore.open(run.config.features), device="cpu")
    config = EvaluateConfig(run=random_run, querybank_beta=0.5, querybank_k=2)
    pool = rank_subset(open_subject(run).scorer, "test", config.method).scored
    assert pool is not None
    for direction, bank in (("t2v", scorer.score(texts="train")), ("v2t", scorer.score(videos="train"))):
        expected = rerank(pool.similarity, "querybank", direction, bank_sim=bank.similarity, beta=0.5, k=2)
        np.testing.assert_allclose(pool.reranked("querybank", direction), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("paths", "name"),
    [
        (("a/shards.h5",), "shards"),
        (("a/store/",), "store"),
        (("a/store/*.h5",), "store"),
        (("x.h5", "y.h5"), "x"),
        (("a/v1.5/b*/*.h5",), "v1"),
    ],
)
def test_store_names(paths: tuple[str, ...], name: str) -> None:
    assert store_name(paths) == name
