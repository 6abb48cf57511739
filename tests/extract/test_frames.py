"""Frames on their way through the encoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from camoe.extract.clip_encoder import ClipEncoder
from camoe.extract.config import ExtractConfig
from camoe.extract.frames import _equal_runs
from camoe.extract.run import extract
from camoe.pipeline.store import FeatureStore
from hypothesis import given
from hypothesis import strategies as st


@given(st.lists(st.integers(0, 2), min_size=1, max_size=12), st.integers(0, 3))
def test_runs_of_equal_frames(shades: list[int], place: int) -> None:
    """Frames that differ in a single pixel, wherever it is, are different ones."""
    frames = np.zeros((len(shades), 4, 4, 3), np.uint8)
    frames[:, place, 3 - place, 1] = shades
    runs = list(_equal_runs(frames))
    assert [frame for run in runs for frame in range(run.start, run.stop)] == list(range(len(shades)))
    assert all(len(set(shades[run])) == 1 for run in runs)
    assert all(shades[one.stop - 1] != shades[one.stop] for one in runs[:-1])


def test_slides_are_encoded_once(tmp_path: Path, make_video, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a still and a moving scene, each frame has the embedding that it has alone; the still one costs one row."""
    (tmp_path / "videos").mkdir()
    for name, source in (("still", "color=red:size=64x64:rate=5"), ("moving", "testsrc=size=64x64:rate=5")):
        make_video(
            tmp_path / "videos" / f"{name}.mp4", "-c:v", "libx264", "-pix_fmt", "yuv420p",
            source=("-f", "lavfi", "-i", f"{source}:duration=6"),
        )  # fmt: skip
    batches: list[np.ndarray] = []
    encode = ClipEncoder.encode_frames

    def watched(encoder: ClipEncoder, frames: np.ndarray) -> torch.Tensor:
        batches.append(np.array(frames))
        return encode(encoder, frames)

    monkeypatch.setattr(ClipEncoder, "encode_frames", watched)
    extract(ExtractConfig(videos=tmp_path / "videos", out=tmp_path / "s.h5", clip="tiny", device="cpu", batch_size=4))
    rows = [row for batch in batches for row in batch if row.any()]
    assert len(rows) == 1 + 6
    store = FeatureStore.open(tmp_path / "s.h5")
    frames = dict(zip(store.video_ids, store.frames(), strict=True))
    assert dict(zip(store.video_ids, store.frame_count.tolist(), strict=True)) == {"still": 6, "moving": 6}
    assert (frames["still"][:6] == frames["still"][0]).all()
    assert len(np.unique(frames["moving"][:6], axis=0)) == 6
    red = next(row for row in rows if row[..., 0].min() > 200)
    alone = encode(ClipEncoder.load("tiny", "cpu", store.settings.precision), np.stack([red] * 4))
    assert np.array_equal(frames["still"][0], alone[0].numpy().astype(np.float16))
