"""A small rendered world whose captions are hostile here and there, runs trained on it, and a real browser."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from camoe.evaluate.report.config import ReportConfig
from camoe.evaluate.report.material import Material, evaluated, open_subjects
from camoe.evaluate.report.run import report
from camoe.extract.config import ExtractConfig
from camoe.extract.run import extract
from camoe.pipeline.demo.dataset import write_dataset
from camoe.train.config import TrainConfig
from camoe.train.loop import fit
from camoe.train.run_folder import load_run

HOSTILE = (
    '<script>document.title = "taken"</script> a red star',
    '"><img src=x onerror="document.title = \'taken\'"> rises',
    "</style></title><svg onload=document.title='taken'> {{ 7 * 7 }} {% raw %} a \u202e ring",
)


@dataclass(frozen=True)
class World:
    """Only for reading."""

    videos: Path
    store: Path
    run: Path
    other: Path


@dataclass(frozen=True)
class Report:
    """A page, and what was said while it was made."""

    page: Path
    said: list[str]

    @property
    def text(self) -> str:
        return self.page.read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("world")
    data = write_dataset(folder, "small", workers=2)
    _make_hostile(data.captions)
    store = folder / "shards.h5"
    made: dict[str, Any] = {"videos": data.videos, "clip": "tiny", "fps": 4.0, "precision": "fp32", "device": "cpu"}
    extract(ExtractConfig(captions=data.captions, out=store, **made))
    common: dict[str, Any] = {"features": (str(store),), "device": "cpu", "threads": 1, "aggregator": ("mean",)}
    run = fit(TrainConfig(out=folder / "runs" / "<b>bold", epochs=6, gate="full", **common))
    other = fit(TrainConfig(out=folder / "runs" / "shuffled", epochs=2, shuffle_frames=True, loss="dsl", **common))
    return World(data.videos, store, run, other)


def _make_hostile(captions: Path) -> None:
    """Test captions become scripts; one text stands on two videos."""
    with captions.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    test = [row for row in rows if row["split"] == "test"]
    for row, text in zip(test, HOSTILE, strict=False):
        row["caption"] = text
    test[-1]["caption"] = test[-9]["caption"] = "a shape moves"
    with captions.open("w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


def _make_report(out: Path, *runs: Path, **changes: Any) -> Report:
    said: list[str] = []
    values: dict[str, Any] = {"out": out, "device": "cpu", "bootstrap": 50, "examples": 3}
    return Report(report(runs, ReportConfig(**(values | changes)), said.append), said)


@pytest.fixture(scope="session")
def make_report() -> Callable[..., Report]:
    """`make_report(out, *runs, **settings)`."""
    return _make_report


@pytest.fixture(scope="session")
def open_material() -> Callable[..., Material]:
    """`open_material(run, **settings)`."""

    def open_one(run: Path, **changes: Any) -> Material:
        config = ReportConfig(**({"device": "cpu", "bootstrap": 10} | changes))
        return evaluated(*open_subjects([load_run(run)], config), config)

    return open_one


@pytest.fixture(scope="session")
def hostile() -> tuple[str, ...]:
    return HOSTILE


@pytest.fixture(scope="session")
def one(world: World, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Of one run, every query shown."""
    return _make_report(tmp_path_factory.mktemp("one"), world.run, examples=64)


@pytest.fixture(scope="session")
def two(world: World, tmp_path_factory: pytest.TempPathFactory) -> Report:
    return _make_report(tmp_path_factory.mktemp("two"), world.run, world.other)
