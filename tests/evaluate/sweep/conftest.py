"""Made-up features in float64, and quick sweeps on a random store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from camoe.evaluate.sweep.config import SweepConfig
from camoe.train.config import TrainConfig
from camoe.train.data import Features, StreamTexts
from camoe.train.model import FeatureShape

EMBED_DIM, FRAMES, VIDEOS = 8, 3, 40


@pytest.fixture
def features_for() -> Callable[[TrainConfig], Features]:
    """40 videos with 2 captions each, 30 of training and 10 of val; another table of sentences per strategy."""
    draw = torch.Generator().manual_seed(0)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=draw, dtype=torch.float64)

    owner = torch.arange(VIDEOS).repeat_interleave(2)
    mask = torch.arange(FRAMES) < torch.randint(1, FRAMES + 1, (VIDEOS, 1), generator=draw)
    frames = torch.nn.functional.normalize(random(VIDEOS, FRAMES, EMBED_DIM), dim=-1) * mask[..., None]
    tables: dict[tuple[str, str], StreamTexts] = {}

    def make(config: TrainConfig) -> Features:
        for name in config.strategies.items():
            if name not in tables:
                embedding = torch.nn.functional.normalize(random(20, EMBED_DIM), dim=-1)
                tables[name] = StreamTexts(embedding, torch.randint(20, (len(owner),), generator=draw))
        return Features(
            protocol="own",
            video_ids=[f"v{row:02d}" for row in range(VIDEOS)],
            frames=frames,
            mask=mask,
            caption_ids=[f"c{row:02d}" for row in range(len(owner))],
            texts=[tables[name] for name in config.strategies.items()],
            video_of_caption=owner,
            subset=torch.where(owner < 30, 1, 2),
            shape=FeatureShape(EMBED_DIM, FRAMES, 20.0),
            missing={"train": 0, "val": 0, "test": 0},
        )

    return make


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
