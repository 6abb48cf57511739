"""Quick sweeps on a random store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas
import pytest
from camoe.evaluate.sweep.config import SweepConfig


@pytest.fixture
def store(random_store_maker: Callable[..., Path]) -> Path:
    return random_store_maker("store.h5", {"train": 40, "val": 12, "test": 20})


@pytest.fixture
def quick(store: Path, tmp_path: Path) -> Callable[..., SweepConfig]:
    """A sweep of a grid's text on the random store, in one process unless told."""

    def make(grid: str, **changes: object) -> SweepConfig:
        path = tmp_path / "grid.yaml"
        path.write_text(grid)
        values: dict = {"features": (str(store),), "grid": str(path), "out": tmp_path / "sweep", "workers": 1}
        return SweepConfig(**(values | {"device": "cpu"} | changes))

    return make


@pytest.fixture
def lasting() -> Callable[[Path], pandas.DataFrame]:
    """A sweep folder's `results.csv` without times, which differ from one sweep to the next."""

    def read(folder: Path) -> pandas.DataFrame:
        table = pandas.read_csv(folder / "results.csv")
        return table.drop(columns=[name for name in table if name == "seconds" or name.startswith("ms a query")])

    return read
