"""docs/heads.md: every head has its rows, and the head of one's own runs as it stands there."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest
from camoe.train.config import TrainConfig
from camoe.train.names import MODELS
from camoe.train.run import fit
from camoe.train.run_folder import load_run

PAGE = (Path(__file__).parents[3] / "docs" / "heads.md").read_text(encoding="utf-8")
OWN = PAGE.split("<!-- own head:")[1].split("```python\n")[1].split("```")[0]


def test_every_head_is_in_both_tables() -> None:
    heads = [name for name, facts in MODELS.items() if facts.build.startswith(".heads.")]
    assert len(heads) > 8
    for name in heads:
        rows = [line for line in PAGE.splitlines() if line.startswith("|") and f"`{name}`" in line.split("|")[1]]
        assert len(rows) >= 2, name


@pytest.fixture
def own() -> Iterator[types.ModuleType]:
    """The code of the docs, as a module."""
    module = types.ModuleType("own_head_of_the_docs")
    sys.modules[module.__name__] = module
    exec(OWN, module.__dict__)
    yield module
    del sys.modules[module.__name__]
    MODELS.pop("nearest-frame")


def test_the_head_of_ones_own_trains(own: types.ModuleType, worded_store_path: Path, tmp_path: Path) -> None:
    assert len(OWN.splitlines()) < 30
    config = TrainConfig(
        features=(str(worded_store_path),), out=tmp_path / "run", model="nearest-frame", epochs=1, device="cpu"
    )
    run = load_run(fit(config))
    assert isinstance(run.model, own.NearestFrame)
