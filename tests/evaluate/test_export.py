from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from camoe.evaluate.cli import main as camoe_evaluate
from camoe.evaluate.config import EvaluateConfig
from camoe.evaluate.export import quoted
from camoe.evaluate.run import evaluate, rank_frame

Maker = Callable[..., Path]


def test_ranks_of_every_query(random_run: Path) -> None:
    evaluation = evaluate(EvaluateConfig(run=random_run, ranks=True))
    table = pd.read_parquet(evaluation.path.parent / "store-own-test.ranks.parquet")
    pd.testing.assert_frame_equal(rank_frame(EvaluateConfig(run=random_run)), table)
    assert list(table.columns) == ["rerank", "direction", "query", "video", "rank"]
    assert len(table) == 3 * (80 + 40)
    for name, entry in evaluation.rerankings.items():
        for direction in ("t2v", "v2t"):
            rows = table[(table["rerank"] == name) & (table["direction"] == direction)]
            assert 100 * (rows["rank"] <= 5).mean() == pytest.approx(entry[direction]["R@5"])
    first = table.iloc[0]
    assert (first["query"], first["video"]) == ("c0160", "v0080")
    videos = table[(table["rerank"] == "none") & (table["direction"] == "v2t")]
    assert (videos["query"] == videos["video"]).all()


def test_trec_files(store_maker: Maker, run_maker: Maker) -> None:
    texts = [[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0]]
    run = run_maker("run", store_maker("s.h5", texts, np.eye(4)[:3], [0, 0, 2], ["test"] * 3))
    folder = evaluate(EvaluateConfig(run=run, trec=1, rerank=("none",))).path.parent
    assert sorted(path.name for path in folder.iterdir()) == [
        "s-own-test.json",
        "s-own-test.metrics.parquet",
        "s-own-test.t2v.none.run",
        "s-own-test.t2v.qrels",
        "s-own-test.v2t.none.run",
        "s-own-test.v2t.qrels",
    ]
    assert (folder / "s-own-test.t2v.qrels").read_text() == "c0000 0 v0000 1\nc0001 0 v0000 1\nc0002 0 v0002 1\n"
    assert (folder / "s-own-test.v2t.qrels").read_text() == "v0000 0 c0000 1\nv0000 0 c0001 1\nv0002 0 c0002 1\n"
    lines = [line.split() for line in (folder / "s-own-test.t2v.none.run").read_text().splitlines()]
    found = [("c0000", "v0000"), ("c0001", "v0000"), ("c0002", "v0002")]
    assert [line[:4] for line in lines] == [[query, "Q0", video, "1"] for query, video in found]
    assert [float(line[4]) for line in lines] == pytest.approx([20.0, 20 / 2**0.5, 20.0], rel=1e-3)
    assert {line[5] for line in lines} == {"camoe-none"}


def test_files_of_an_earlier_evaluation_are_replaced_by_their_kind(store_maker: Maker, run_maker: Maker) -> None:
    run = run_maker("run", store_maker("s.h5", np.eye(4)[:3], np.eye(4)[:3], [0, 1, 2], ["test"] * 3))
    folder = evaluate(EvaluateConfig(run=run, trec=1, ranks=True, rerank=("none", "dsl"))).path.parent
    (folder / "other-own-test.ranks.parquet").touch()
    evaluate(EvaluateConfig(run=run, trec=1, rerank=("none",)))
    assert not (folder / "s-own-test.t2v.dsl.run").exists()
    assert (folder / "s-own-test.t2v.none.run").exists()
    before = {path.name: path.read_bytes() for path in folder.glob("*.ranks.parquet")}
    before |= {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".qrels", ".run")}
    assert len(before) == 6
    evaluate(EvaluateConfig(run=run))
    assert {name: (folder / name).read_bytes() for name in before} == before


def test_what_becomes_of_an_earlier_evaluations_files_is_said(
    store_maker: Maker, run_maker: Maker, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_maker("run", store_maker("s.h5", np.eye(4)[:3], np.eye(4)[:3], [0, 1, 2], ["test"] * 3))
    camoe_evaluate(["--run", str(run), "--trec", "1", "--ranks", "--rerank", "dsl"], standalone_mode=False)
    assert "earlier evaluation" not in capsys.readouterr().out
    camoe_evaluate(["--run", str(run), "--trec", "1", "--rerank", "none"], standalone_mode=False)
    told = capsys.readouterr().out
    gone = "s-own-test.t2v.dsl.run, s-own-test.v2t.dsl.run"
    assert f"taken away, as they were of an earlier evaluation: {gone}\n" in told
    assert "left as they are, of an earlier evaluation: s-own-test.ranks.parquet\n" in told


def test_recall_from_the_trec_files_is_ours(random_run: Path) -> None:
    evaluation = evaluate(EvaluateConfig(run=random_run, trec=10))
    folder = evaluation.path.parent
    for direction in ("t2v", "v2t"):
        relevant: dict[str, set[str]] = {}
        for line in (folder / f"store-own-test.{direction}.qrels").read_text().splitlines():
            query, _, candidate, _ = line.split()
            relevant.setdefault(query, set()).add(candidate)
        for name in evaluation.rerankings:
            best: dict[str, str] = {}
            for line in (folder / f"store-own-test.{direction}.{name}.run").read_text().splitlines():
                query, _, candidate, place, _, _ = line.split()
                if place == "1":
                    best[query] = candidate
            assert best.keys() == relevant.keys()
            recall = 100 * np.mean([best[query] in relevant[query] for query in best])
            assert recall == pytest.approx(evaluation.rerankings[name][direction]["R@1"])


def test_ids_without_white_space() -> None:
    assert quoted(["a b/c#001", "ü\t", "100%"]) == ["a%20b/c#001", "%C3%BC%09", "100%25"]
