"""A small rendered world: 64 real clips, their store with and without captions, and a run trained on it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from camoe.evaluate.search.searcher import Searcher
from camoe.extract.config import ExtractConfig
from camoe.extract.run import extract
from camoe.pipeline.demo.dataset import write_dataset
from camoe.train.config import TrainConfig
from camoe.train.loop import fit


@dataclass(frozen=True)
class World:
    """Only for reading."""

    videos: Path
    store: Path
    bare: Path
    run: Path


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("world")
    data = write_dataset(folder, "small", workers=2)
    made = {"videos": data.videos, "clip": "tiny", "fps": 4.0, "precision": "fp32", "device": "cpu"}
    store, bare = folder / "shards.h5", folder / "bare.h5"
    extract(ExtractConfig(captions=data.captions, out=store, **made))
    extract(ExtractConfig(out=bare, **made))
    run = fit(
        TrainConfig(features=(str(store),), out=folder / "run", epochs=8, aggregator=("mean",), device="cpu", threads=1)
    )
    return World(data.videos, store, bare, run)


@pytest.fixture(scope="session")
def searcher(world: World) -> Searcher:
    return Searcher.open(world.run, device="cpu")


@pytest.fixture(scope="session")
def zero_shot(world: World) -> Searcher:
    return Searcher.open(None, world.store, device="cpu")

