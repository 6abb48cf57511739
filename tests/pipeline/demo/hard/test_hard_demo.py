"""The whole path in the harder world, at its smallest: its own CLIP, its own sampling, families of look-alikes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from camoe.pipeline.demo.cli import main
from camoe.pipeline.demo.hard.world import FRAME_COUNTS, make_clips
from camoe.pipeline.demo.world import FRAMES_PER_SECOND
from camoe.pipeline.store import FeatureStore


def test_the_harder_demo_at_its_smallest(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "demo"
    options = ["--out", str(out), "--size", "hard-small", "--seeds", "1", "--epochs", "1"]
    assert main(options, standalone_mode=False) == 0
    said = capsys.readouterr().out
    assert "TOO FEW: 20 test clips; below 50 these numbers mean nothing" in said

    store = FeatureStore.open(out / "shards.h5")
    assert store.settings.clip_model == "tiny-hard"
    assert sorted(store.video_ids) == sorted(clip.video_id for clip in make_clips("hard-small"))
    # Both events are seen: frames from the whole of a clip.
    assert store.frame_count.min() >= 4 * FRAME_COUNTS[0] // FRAMES_PER_SECOND
    rows = {row["title"]: row["mean"]["t2v"] for row in json.loads((out / "table.json").read_text())}
    zero_shot = rows["zero-shot, mean pooling"]
    assert zero_shot["R@1"] > 3 * rows["chance"]["R@1"]
    assert zero_shot["R@5"] > 60  # four families of five: which family, if not which of the five
