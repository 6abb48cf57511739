"""The files of a sweep's results: damaged ones are named and done again, those of other code are not mixed in."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas
import pytest
from camoe.evaluate.result import Metrics, MetricsPair
from camoe.evaluate.scored import Ranks
from camoe.evaluate.sweep import code
from camoe.evaluate.sweep.cells import Cells
from camoe.evaluate.sweep.cli import main as camoe_sweep
from camoe.evaluate.sweep.code import DECIDING, ROOT, bare, code_version
from camoe.evaluate.sweep.config import SweepConfig
from camoe.evaluate.sweep.folder import CELLS
from camoe.evaluate.sweep.result import OK, Result
from camoe.evaluate.sweep.run import dry_run, sweep
from camoe.pipeline.errors import CamoeError

Quick = Callable[..., SweepConfig]
ZERO_SHOT = "base: {model: zero-shot}\ngrid: {rerank: [none, dsl]}"
RANKS = np.array([1, 2, 3])


@pytest.fixture
def result() -> Result:
    metrics = Metrics.of(RANKS)
    return Result(
        key="abc",
        status=OK,
        settings={"loss": "ce"},
        seed=0,
        best={"epoch": 1, "R@1": 50.0},
        curve=({"epoch": 0, "R@1": 10.0}, {"epoch": 1, "R@1": 50.0}),
        validation={"none": 50.0},
        metrics={"none": MetricsPair(metrics, metrics)},
        ranks={"none": Ranks(RANKS, RANKS)},
        owner=np.arange(3),
    )


def test_there_and_back(result: Result, tmp_path: Path) -> None:
    written = Cells(tmp_path).write(result)
    read = Cells(tmp_path).read("abc")
    assert read == written == replace(result, code=code_version())
    assert read is not None
    np.testing.assert_array_equal(read.ranks["none"].t2v, RANKS)
    np.testing.assert_array_equal(read.owner, np.arange(3))
    assert Cells(tmp_path).read("abd") is None


@pytest.mark.parametrize("name", ["abc.npz", "abc.json"])
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"{}", b"[" * 100_000, b"\xff\xfe"])
def test_a_damaged_file_is_named(name: str, content: bytes, result: Result, tmp_path: Path) -> None:
    Cells(tmp_path).write(result)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CamoeError, match=f"{name} is damaged"):
        Cells(tmp_path).read("abc")


@pytest.mark.parametrize(
    "change",
    [
        {"metrics": {}},
        {"status": "fine"},
        {"key": "abd"},
        {"best": {}},
        {"curve": [{"epoch": 0}, {}]},
        {"validation": {"dsl 1": 3.0}},
        {"seed": "0"},
        {"metrics": {"none": {"t2v": 3}}},
        {"together": 10**30},
    ],
)
def test_a_hostile_record_is_named(change: dict, result: Result, tmp_path: Path) -> None:
    """Its sums are right, its content is not."""
    Cells(tmp_path).write(result)
    path = tmp_path / "abc.json"
    values = json.loads(path.read_text()) | change
    del values["sha256"]
    path.write_text(json.dumps(values))
    with pytest.raises(CamoeError, match=r"abc.json is damaged \("):
        Cells(tmp_path).read("abc")


def test_numbers_that_are_not_those_of_the_ranks(result: Result, tmp_path: Path) -> None:
    Cells(tmp_path).write(replace(result, owner=np.array([0, 0, 1])))
    with pytest.raises(CamoeError, match="its ranks under none are of other queries"):
        Cells(tmp_path).read("abc")
    better = Metrics.of(np.array([1, 1, 1]))
    Cells(tmp_path).write(replace(result, metrics={"none": MetricsPair(better, better)}))
    with pytest.raises(CamoeError, match="its numbers under none are not those of its ranks"):
        Cells(tmp_path).read("abc")


@pytest.mark.parametrize("name", ["abc.npz", "abc.json"])
@pytest.mark.parametrize("old", [False, True])
@pytest.mark.soak
def test_no_mutant_is_taken_for_another_result(
    name: str,
    old: bool,
    result: Result,
    tmp_path: Path,
    soak_count: Callable[[int, int], int],
    mutants: Callable[..., Iterator[bytes]],
) -> None:
    """`old`: a record without sums, as 0.1.0 wrote it; then only what contradicts itself can be found."""
    cells = Cells(tmp_path)
    written = cells.write(result)
    path = tmp_path / name
    if old:
        values = json.loads((tmp_path / "abc.json").read_text())
        for key in ("sha256", "ranks_sha256", "code", "validation_videos"):
            del values[key]
        (tmp_path / "abc.json").write_text(json.dumps(values))
    content, found = path.read_bytes(), 0
    for mutant in mutants(content, soak_count(150, 1000), seed=len(name)):
        path.write_bytes(mutant)
        read = _read(cells)
        if isinstance(read, str):
            assert f"{tmp_path}/abc." in read
            found += 1
        elif not old and mutant != content:
            assert read == written  # white space only
    assert found > 50


def _read(cells: Cells) -> Result | str | None:
    """The result, or what is wrong."""
    try:
        return cells.read("abc")
    except CamoeError as error:
        return str(error)


def test_a_damaged_cell_is_done_again(quick: Quick, capfd: pytest.CaptureFixture[str]) -> None:
    """An empty npz was an `EOFError`, which ended the command as if it had been interrupted."""
    config = quick(ZERO_SHOT)
    words = ["--features", config.features[0], "--grid", config.grid, "--out", str(config.out), "--workers", "1"]
    assert camoe_sweep(words, standalone_mode=False) == 0
    (path,) = (config.folder("grid") / CELLS).glob("*.npz")
    for content in (b"", path.read_bytes()[:100]):
        before = (config.folder("grid") / "results.csv").read_bytes()
        path.write_bytes(content)
        assert camoe_sweep(words, standalone_mode=False) == 0
        assert f"{path} is damaged (its SHA-256 is another one); its run is trained again: " in capfd.readouterr().out
        after = (config.folder("grid") / "results.csv").read_bytes()
        assert _without_seconds(after) == _without_seconds(before)


def _without_seconds(content: bytes) -> str:
    import io

    return pandas.read_csv(io.BytesIO(content)).drop(columns="seconds").to_csv()


def test_what_other_code_made_is_refused_trained_again_or_kept(quick: Quick, monkeypatch: pytest.MonkeyPatch) -> None:
    config = quick(ZERO_SHOT)
    sweep(config, lambda line: None)
    before = {path: path.read_bytes() for path in config.folder("grid").rglob("*") if path.is_file()}
    for module in ("stages", "cells", "overview"):
        monkeypatch.setattr(f"camoe.evaluate.sweep.{module}.code_version", lambda: "0.2.0-12345678")
    sentence = (
        f"{config.folder('grid')}: another version of the code made 1 of 1 run "
        rf"\({code_version()}; this is 0.2.0-12345678; first: rerank=none, seed 0\); .* --other-code train"
    )
    for start in (sweep, dry_run):
        with pytest.raises(CamoeError, match=sentence):
            start(config)
    assert {path: path.read_bytes() for path in config.folder("grid").rglob("*") if path.is_file()} == before
    told: list[str] = []
    sweep(replace(config, other_code="keep"), told.append)
    assert "they are kept beside new ones" in told[0]
    assert "1 of 1 run finished" in told[1]
    assert "MIXED" in (config.folder("grid") / "overview.md").read_text()
    told.clear()
    sweep(replace(config, other_code="train"), told.append)
    assert told[0].endswith("they are trained again")
    assert "0 of 1 run finished" in told[1]
    sweep(config, told.append)
    assert "MIXED" not in (config.folder("grid") / "overview.md").read_text()


def test_the_code_is_what_decides_a_number(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for pattern in DECIDING:
        assert list(ROOT.glob(pattern)) or "/*/" in pattern, pattern
    for folder in ("train", "evaluate", "pipeline"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(code, "ROOT", tmp_path)
    plain = code_version.__wrapped__()
    assert plain == code_version()
    losses = tmp_path / "train" / "losses.py"
    losses.write_text(losses.read_text().replace('"""', '"""More. ', 1) + "\n# a remark\n")
    assert code_version.__wrapped__() == plain
    losses.write_text(losses.read_text() + "\nEXTRA = 2.0\n")
    assert code_version.__wrapped__() != plain


def test_comments_and_docstrings_decide_nothing() -> None:
    assert bare('"""Doc."""\n\ndef f(x):\n    """Doc."""\n    return (x  # twice\n        + 1)') == bare(
        "def f(x): return x+1"
    )
    assert bare("x = 1") != bare("x = 2")
    assert hashlib.sha256(bare('class A:\n    """Doc."""').encode()).hexdigest()  # an empty body stays Python


def test_galleries_beyond_the_bound_are_ranked_in_blocks(quick: Quick) -> None:
    """With every re-ranking: they make as many passes as they need."""
    text = "base: {epochs: 1, batch_size: 8, aggregator: mean}\ngrid: {rerank: [none, dsl, querybank, sinkhorn, nnn]}"
    whole = sweep(quick(text), lambda line: None)
    (result,) = whole.results.values()
    blocks = sweep(quick(text, out=whole.folder.parent / "blocks", max_matrix_gb=1e-6), lambda line: None)
    (other,) = blocks.results.values()
    assert len(other.metrics) == 5
    assert other.metrics == result.metrics


def test_few_videos_name_no_winner(quick: Quick, random_store_maker: Callable[..., Path]) -> None:
    """One test video made a winner of 0.0 points."""
    text = "base: {epochs: 1, batch_size: 8, aggregator: mean}\ngrid: {loss: [ce, dsl]}"
    store = random_store_maker("one.h5", {"train": 20, "val": 5, "test": 1})
    outcome = sweep(quick(text, features=(str(store),)), lambda line: None)
    assert any("No winner is named. TOO FEW: 1 test video; below 50" in line for line in outcome.told)
    assert "Best raw" not in "\n".join(outcome.told)
    for name in ("table.md", "table.tex", "overview.md"):
        content = (outcome.folder / name).read_text()
        assert "TOO FEW: 1 test video; below 50 these numbers mean nothing" in content
        assert "textbf" not in content
    assert "**" not in (outcome.folder / "table.md").read_text()
