"""Reference numbers (a committed subset; the full set where CAMOE_SHARED names its folder) and made-up stores."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from camoe.pipeline.store import SUBSETS, Captions, Shard, StoreSettings, TextTable, write_shard
from camoe.train.config import TrainConfig
from camoe.train.loop import fit
from made_up import made_up_videos
from numpy.typing import ArrayLike

SMALL = Path(__file__).parent.parent / "data" / "reference_small.npz"


def _load(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


@pytest.fixture(scope="session")
def reference_small() -> dict[str, np.ndarray]:
    return _load(SMALL)


@pytest.fixture(scope="session")
def reference_full() -> dict[str, np.ndarray]:
    if "CAMOE_SHARED" not in os.environ:
        pytest.skip("CAMOE_SHARED is not set: no full reference")
    return _load(Path(os.environ["CAMOE_SHARED"]) / "reference" / "reference.npz")


def make_store(
    path: Path,
    texts: ArrayLike,
    videos: ArrayLike,
    owner: Sequence[int],
    subsets: Sequence[str],
    *,
    protocol: str = "own",
    shortfall: dict | None = None,
    without_features: Sequence[int] = (),
    clip_model: str = "made-up",
    clip_sha256: str = "ab" * 32,
    sampling: str = "uniform",
    streams: dict[str, str] | None = None,
) -> Path:
    """A store with one frame a video: captions `texts (M, D)` of videos `owner (M,)`, frames `videos (N, D)`, and each
    caption's subset. Video i is called `v000i`, caption i `c000i`; zero-shot scores are 20 times the cosines."""
    text, frame = np.asarray(texts, np.float16), np.asarray(videos, np.float16)
    kept = [index for index in range(len(frame)) if index not in without_features]
    ids = [f"v{index:04d}" for index in range(len(frame))]
    sentences = [f"sentence {row}" for row in range(len(text))]
    table = TextTable(sentences, text, np.arange(len(text)))
    shard = Shard(
        settings=StoreSettings(
            clip_model=clip_model,
            clip_sha256=clip_sha256,
            clip_logit_scale=20.0,
            embed_dim=text.shape[1],
            precision="fp32",
            fps=1.0,
            max_frames=12,
            sampling=sampling,
            streams=streams,
        ),
        videos=made_up_videos([ids[index] for index in kept], frame[kept][:, None]),
        captions=Captions(
            id=[f"c{row:04d}" for row in range(len(text))],
            video_id=[ids[index] for index in owner],
            text=sentences,
            protocols={protocol: np.array([SUBSETS[name] for name in subsets], np.uint8)},
            shortfall={protocol: shortfall} if shortfall else {},
        ),
        texts={("full", "fusion"): table, ("muw", "entity"): table, ("muw", "action"): table},
    )
    write_shard(path, shard)
    return path


def random_store(
    path: Path, counts: dict[str, int], *, captions: int = 2, noise: float = 2.0, seed: int = 0, **changes: object
) -> Path:
    """Videos drawn at random, `counts` of them per subset, and captions that are their noisy copies."""
    draw = np.random.default_rng(seed)
    names = [subset for subset, count in counts.items() for _ in range(count)]
    videos = draw.normal(size=(len(names), 16))
    owner = np.repeat(np.arange(len(names)), captions)
    texts = videos[owner] + noise * draw.normal(size=(len(owner), 16))
    return make_store(path, texts, videos, owner.tolist(), [names[video] for video in owner], **changes)  # type: ignore[arg-type]


def make_run(features: Path, out: Path, **changes: object) -> Path:
    """An untrained run on whole captions, or what `changes` say."""
    values: dict = {"model": "zero-shot", "streams": ("fusion",)}
    return fit(TrainConfig(features=(str(features),), out=out, **(values | changes)))


@pytest.fixture
def store_maker(tmp_path: Path) -> Callable[..., Path]:
    """`make_store` under a name in the test's folder."""
    return lambda name, *values, **changes: make_store(tmp_path / name, *values, **changes)


@pytest.fixture
def random_store_maker(tmp_path: Path) -> Callable[..., Path]:
    """`random_store` under a name in the test's folder."""
    return lambda name, counts, **changes: random_store(tmp_path / name, counts, **changes)


@pytest.fixture
def run_maker(tmp_path: Path) -> Callable[..., Path]:
    """`make_run` under a name in the test's folder."""
    return lambda name, features, **changes: make_run(features, tmp_path / name, **changes)


@pytest.fixture(scope="session")
def random_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A zero-shot run on 60 training, 20 val and 40 test videos with two captions each; only for reading."""
    folder = tmp_path_factory.mktemp("random")
    return make_run(random_store(folder / "store.h5", {"train": 60, "val": 20, "test": 40}), folder / "run")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A Chromium; of a module only, for while Playwright's loop runs no other loop can."""
    sync_api = pytest.importorskip("playwright.sync_api")
    found = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_api.sync_playwright() as playwright:
        try:
            running = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        except sync_api.Error:
            outcome = pytest.fail if os.environ.get("REQUIRE_BROWSER") == "1" else pytest.skip
            outcome("no Chromium is installed (apt-get install chromium, or playwright install chromium)")
        yield running
        running.close()
