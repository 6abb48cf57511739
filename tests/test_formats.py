"""What earlier versions wrote stays readable: stores, runs with the heads they were, evaluations, sweeps."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from camoe.evaluate.result import read_evaluation
from camoe.evaluate.sweep.cli import main as camoe_sweep
from camoe.pipeline.store import FeatureStore
from camoe.pipeline.store.cli import main as camoe_store
from camoe.train.run_folder import load_run
from camoe.train.scoring import RunScorer
from click.testing import CliRunner

FIRST = Path(__file__).parent / "fixtures" / "camoe-0.1.0"
RUNS = sorted(path.name for path in (FIRST / "runs").iterdir())


@pytest.fixture
def first(tmp_path: Path) -> Path:
    """A copy that a test may write to."""
    return Path(shutil.copytree(FIRST, tmp_path / "first"))


@pytest.mark.parametrize("name", ["store.h5", "folder", "made-up.h5"])
def test_a_store_opens_and_holds_what_it_held(name: str) -> None:
    store = FeatureStore.open(FIRST / name)

    assert store.content_hash == json.loads((FIRST / "expected.json").read_text())[name]
    assert np.isfinite(store.frames()).all()
    assert len(store.text_table("muw", "entity").row) == len(store.caption_ids)


@pytest.mark.parametrize("name", ["store.h5", "folder"])
def test_a_store_verifies(name: str) -> None:
    done = CliRunner().invoke(camoe_store, ["verify", str(FIRST / name)])

    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("name", RUNS)
def test_a_run_scores_as_it_did(name: str) -> None:
    with np.load(FIRST / "scores.npz", allow_pickle=False) as expected:
        scores = RunScorer(load_run(FIRST / "runs" / name), FeatureStore.open(FIRST / "made-up.h5")).score()

        np.testing.assert_allclose(scores.similarity, expected[name], atol=2e-4)


@pytest.mark.parametrize("name", RUNS)
def test_an_evaluation_is_read(name: str) -> None:
    found = read_evaluation(FIRST / "runs" / name / "evaluation" / "made-up-own-test.json")

    assert (found.protocol, found.subset, found.captions, found.videos) == ("own", "test", 16, 8)


def test_a_sweep_goes_on(first: Path) -> None:
    arguments = ["--features", str(first / "made-up.h5"), "--grid", str(first / "grid.yaml")]

    done = CliRunner().invoke(camoe_sweep, [*arguments, "--out", str(first / "sweep")])

    assert done.exit_code in (0, 2), done.output
    assert done.exit_code == 0 or "another version" in done.output
