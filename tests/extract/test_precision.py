"""The table of precisions and batch sizes, and stores that several kinds of machines work on."""

from __future__ import annotations

import platform
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from camoe.extract.clip_encoder import ClipEncoder, resolve_precision
from camoe.extract.config import ExtractConfig
from camoe.extract.precision import BEST, PRECISIONS, SMALL, best_way, processor_units
from camoe.extract.run import extract
from camoe.pipeline.errors import CamoeError
from camoe.pipeline.store import FeatureStore
from camoe.pipeline.store.place import Place
from camoe.pipeline.store.plan import Plan

VIT_B32 = 151_277_313


def be(monkeypatch: pytest.MonkeyPatch, machine: str, *supported: str) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    for units in ("amx_tile", "avx512_bf16"):
        monkeypatch.setattr(torch.cpu, f"_is_{units}_supported", lambda has=units in supported: has, raising=False)


@pytest.mark.parametrize(
    ("machine", "supported", "units", "precision"),
    [
        ("x86_64", ("amx_tile", "avx512_bf16"), "amx", "bf16"),
        ("x86_64", ("avx512_bf16",), "avx512_bf16", "bf16"),
        ("x86_64", (), "avx2", "fp32"),
        ("aarch64", (), "arm", "fp32"),
        ("arm64", (), "arm", "fp32"),
    ],
)
def test_auto_is_the_tables(
    monkeypatch: pytest.MonkeyPatch, machine: str, supported: tuple[str, ...], units: str, precision: str
) -> None:
    be(monkeypatch, machine, *supported)
    assert processor_units() == units
    assert resolve_precision("auto", torch.device("cpu"), VIT_B32) == precision
    assert resolve_precision("auto", torch.device("cpu"), 7_000_000) == "fp32"
    assert resolve_precision("bf16", torch.device("cpu"), 7_000_000) == "bf16", "what is asked for is taken"
    encoder = ClipEncoder.load("tiny", "cpu")
    assert (encoder.precision, encoder.batch_size) == ("fp32", 64), "the demo's numbers are the same everywhere"


def test_every_row_can_be_used() -> None:
    for units, way in BEST.items():
        assert way.precision in PRECISIONS[1:]
        assert way.batch_size in (8, 16, 64)
        assert best_way(units, VIT_B32) == way
        assert best_way(units, 7_000_000) == SMALL


# -- stores that go on


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory, make_video) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    for number in range(3):
        source = ("-f", "lavfi", "-i", f"testsrc=size=64x64:rate=5:duration={2 + number}")
        make_video(folder / f"{number}.mp4", "-c:v", "libx264", "-pix_fmt", "yuv420p", source=source)
    return folder


@pytest.fixture
def videos(clips: Path, tmp_path: Path) -> Path:
    """A folder with one clip."""
    (tmp_path / "videos").mkdir()
    shutil.copy(clips / "0.mp4", tmp_path / "videos")
    return tmp_path / "videos"


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Precision and size of every batch that is encoded."""
    seen: list[tuple[str, int]] = []
    encode = ClipEncoder.encode_frames

    def watched(encoder: ClipEncoder, frames: np.ndarray) -> torch.Tensor:
        seen.append((encoder.precision, len(frames)))
        return encode(encoder, frames)

    monkeypatch.setattr(ClipEncoder, "encode_frames", watched)
    return seen


def run(videos: Path, out: Path, **changes: object) -> FeatureStore:
    settings: dict = {"videos": videos, "out": out, "clip": "tiny", "device": "cpu", "workers": 1}
    extract(ExtractConfig(**(settings | changes)))
    return FeatureStore.open(out)


@pytest.mark.parametrize("name", ["s.h5", "store"])
def test_a_store_goes_on_at_its_batch_size(
    clips: Path, videos: Path, tmp_path: Path, batches: list[tuple[str, int]], name: str
) -> None:
    assert run(videos, tmp_path / name, batch_size=8).settings.batch_size == 8
    shutil.copy(clips / "1.mp4", videos)
    batches.clear()
    assert run(videos, tmp_path / name).settings.batch_size == 8
    assert batches == [("fp32", 8)]
    batches.clear()
    assert run(videos, tmp_path / "fresh.h5").settings.batch_size == 64
    assert batches == [("fp32", 64)]


def test_a_store_that_does_not_say_goes_on_at_64(
    videos: Path, tmp_path: Path, batches: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Path(__file__).parent.parent / "fixtures" / "camoe-0.1.0" / "folder"
    shutil.copytree(first, tmp_path / "old")
    there = FeatureStore.open(tmp_path / "old").settings
    assert there.batch_size is None
    monkeypatch.setattr("camoe.extract.precision.SMALL", BEST["avx2"])
    assert ClipEncoder.load("tiny", "cpu").batch_size == 16
    changes = {"fps": there.fps, "max_frames": there.max_frames, "sampling": there.sampling, "clip": None}
    assert "0" in run(videos, tmp_path / "old", **changes).video_ids
    assert batches == [(there.precision, 64)]


def test_a_part_goes_on_as_the_plan_says(
    clips: Path, videos: Path, tmp_path: Path, batches: list[tuple[str, int]]
) -> None:
    """The third part makes the plan, and no shard: the first has only that to look at."""
    shutil.copy(clips / "1.mp4", videos)
    out = tmp_path / "store"
    extract(
        ExtractConfig(
            videos=videos, out=out, clip="tiny", device="cpu", workers=1, part="3/3", precision="bf16", batch_size=4
        )
    )
    begun = Plan.read(Place.of(out)).begun
    assert begun is not None
    assert (begun.precision, begun.batch_size) == ("bf16", 4)
    assert batches == []
    with pytest.raises(CamoeError, match=r"begun in bf16 by another run, .* fp32; use --precision bf16, or --mix-prec"):
        run(videos, out, part="1/3", precision="fp32")
    store = run(videos, out, part="1/3")
    assert (store.settings.precision, store.settings.batch_size) == ("bf16", 4)
    assert set(batches) == {("bf16", 4)}


@pytest.mark.parametrize("name", ["s.h5", "store"])
def test_another_machines_precision_is_let_in_where_the_user_says_so(
    clips: Path, videos: Path, tmp_path: Path, batches: list[tuple[str, int]], name: str
) -> None:
    out = tmp_path / name
    before = run(videos, out, precision="fp32").frames()
    shutil.copy(clips / "1.mp4", videos)
    with pytest.raises(CamoeError, match=r"precision is fp32 in the store and bf16 asked for \(--mix-precisions allow"):
        run(videos, out, precision="bf16")
    batches.clear()
    mixed = run(videos, out, precision="bf16", mix_precisions=True)
    assert batches == [("bf16", 64)]
    assert mixed.settings.precision == "fp32,bf16"
    assert np.array_equal(mixed.frames()[:1], before[:1]), "what was there stays"
    shutil.copy(clips / "2.mp4", videos)
    batches.clear()
    assert run(videos, out).settings.precision == "fp32,bf16"
    assert batches == [("fp32", 64)], "by itself it goes on as it was begun"
    with pytest.raises(CamoeError, match="precision is fp32 in the store and fp16 asked for"):
        run(videos, out, precision="fp16")
    assert run(videos, out, precision="bf16").video_ids == ["0", "1", "2"], "what was let in once is let in again"
