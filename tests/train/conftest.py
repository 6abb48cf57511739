from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from camoe.pipeline.store import Captions, Shard, StoreSettings, TextTable, write_shard
from camoe.pipeline.store.schema import TokenTable
from camoe.train.config import TrainConfig
from camoe.train.data import Features, StreamTexts
from camoe.train.model import FeatureShape
from made_up import made_up_videos

EMBED_DIM, MAX_FRAMES, LATENT = 16, 4, 8


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A GPU test is skipped where there is none, and fails instead where REQUIRE_GPU=1 promises one."""
    if item.get_closest_marker("needs_gpu") and not torch.cuda.is_available():
        outcome = pytest.fail if os.environ.get("REQUIRE_GPU") == "1" else pytest.skip
        outcome("no CUDA device")


def make_store(
    path: Path,
    *,
    subsets: dict[str, int] | None = None,
    captions_per_video: int = 2,
    protocols: tuple[str, ...] = ("own",),
    without_features: tuple[str, ...] = (),
    clip_sha256: str = "ab" * 32,
    max_frames: int = MAX_FRAMES,
    seed: int = 0,
    with_captions: bool = True,
    streams: tuple[str, ...] = ("fusion", "entity", "action"),
    with_tokens: bool = False,
) -> Path:
    """A made-up store: a video's frames and texts share a latent vector, but texts see it through a skewed map, so that
    zero-shot finds some and heads can learn the rest. Default: 160 training, 40 val and 40 test videos."""
    draw = np.random.default_rng(seed)
    subsets = subsets or {"train": 160, "val": 40, "test": 40}
    names = [subset for subset, count in subsets.items() for _ in range(count)]
    ids = [f"v{index:04d}" for index in range(len(names))]
    latent = draw.normal(size=(len(ids), LATENT))
    view = draw.normal(size=(LATENT, EMBED_DIM))
    skewed = 0.5 * view + draw.normal(size=(LATENT, EMBED_DIM))
    frames = latent[:, None] @ view + 0.3 * draw.normal(size=(len(ids), max_frames, EMBED_DIM))
    count = draw.integers(1, max_frames + 1, len(ids))
    frames[np.arange(max_frames) >= count[:, None]] = 0
    owner = np.repeat(np.arange(len(ids)), captions_per_video)
    texts = latent[owner] @ skewed + 0.3 * draw.normal(size=(len(owner), EMBED_DIM))
    codes = np.array([{"train": 1, "val": 2, "test": 3}[names[video]] for video in owner], np.uint8)
    tables = {}
    for stream, keep in (("fusion", slice(None)), ("entity", slice(0, 12)), ("action", slice(8, None))):
        part = np.zeros_like(texts)
        part[:, keep] = texts[:, keep]
        sentences = [f"{stream} {row}" for row in range(len(owner))]
        name = ("full", stream) if stream == "fusion" else ("muw", stream)
        if stream not in streams:
            continue
        tables[name] = TextTable(sentences, part.astype(np.float16), np.arange(len(owner)))
    kept = [index for index, video_id in enumerate(ids) if video_id not in without_features]
    shard = Shard(
        settings=StoreSettings(
            clip_model="made-up",
            clip_sha256=clip_sha256,
            clip_logit_scale=20.0,
            embed_dim=EMBED_DIM,
            precision="fp32",
            fps=1.0,
            max_frames=max_frames,
            sampling="uniform",
        ),
        videos=made_up_videos([ids[index] for index in kept], frames[kept], count[kept]),
        captions=Captions(
            id=[f"c{index:05d}" for index in range(len(owner))],
            video_id=[ids[index] for index in owner],
            text=[f"fusion {row}" for row in range(len(owner))],
            protocols=dict.fromkeys(protocols, codes),
        )
        if with_captions
        else None,
        texts=tables if with_captions else {},
        tokens=make_tokens(tables["full", "fusion"], draw) if with_tokens else None,
    )
    write_shard(path, shard)
    return path


def make_tokens(sentences: TextTable, draw: np.random.Generator) -> TokenTable:
    """Two to six tokens a sentence, the last of them its embedding."""
    counts = draw.integers(2, 7, len(sentences.sentence))
    offsets = np.concatenate([[0], np.cumsum(counts)])
    values = draw.normal(size=(int(offsets[-1]), EMBED_DIM)).astype(np.float16)
    values[offsets[1:] - 1] = sentences.embedding
    return TokenTable(sentences.sentence, offsets, values, sentences.row)


StoreMaker = Callable[..., Path]


@pytest.fixture
def store_maker(tmp_path: Path) -> StoreMaker:
    """`make_store` in the test's folder."""

    def make(name: str = "store.h5", **changes: object) -> Path:
        return make_store(tmp_path / name, **changes)  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="session")
def store_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_store(tmp_path_factory.mktemp("store") / "store.h5")


@pytest.fixture(scope="session")
def worded_store_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small store with word tokens."""
    path = tmp_path_factory.mktemp("worded") / "store.h5"
    return make_store(path, subsets={"train": 24, "val": 8, "test": 8}, with_tokens=True)


@pytest.fixture
def quick(store_path: Path, tmp_path: Path) -> Callable[..., TrainConfig]:
    """A short training configuration on the made-up store."""

    def make(**changes: object) -> TrainConfig:
        values: dict = {
            "features": (str(store_path),),
            "out": tmp_path / "run",
            "epochs": 3,
            "batch_size": 32,
        }
        if changes.get("model", "camoe") == "camoe":
            values["aggregator"] = "mean"
        return TrainConfig(**(values | changes))

    return make


@pytest.fixture
def features_for() -> Callable[[TrainConfig], Features]:
    """40 videos with 2 captions each, 30 of training and 10 of val; another table of sentences per strategy."""
    draw = torch.Generator().manual_seed(0)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=draw, dtype=torch.float64)

    owner = torch.arange(40).repeat_interleave(2)
    mask = torch.arange(3) < torch.randint(1, 4, (40, 1), generator=draw)
    frames = torch.nn.functional.normalize(random(40, 3, 8), dim=-1) * mask[..., None]
    tables: dict[tuple[str, str], StreamTexts] = {}

    def make(config: TrainConfig) -> Features:
        for name in config.strategies.items():
            if name not in tables:
                embedding = torch.nn.functional.normalize(random(20, 8), dim=-1)
                tables[name] = StreamTexts(embedding, torch.randint(20, (len(owner),), generator=draw))
        return Features(
            protocol="own",
            video_ids=[f"v{row:02d}" for row in range(40)],
            frames=frames,
            mask=mask,
            caption_ids=[f"c{row:02d}" for row in range(len(owner))],
            texts=[tables[name] for name in config.strategies.items()],
            video_of_caption=owner,
            subset=torch.where(owner < 30, 1, 2),
            shape=FeatureShape(8, 3, 20.0),
            missing={"train": 0, "val": 0, "test": 0},
        )

    return make
