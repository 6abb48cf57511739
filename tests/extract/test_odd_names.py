"""A folder in which one file has a name that is no text."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from camoe.extract.config import ExtractConfig
from camoe.extract.run import extract
from camoe.pipeline.store import FeatureStore


def test_a_name_that_is_no_text_is_one_failure(tmp_path: Path, make_video) -> None:
    folder = tmp_path / "videos"
    odd = folder / os.fsdecode(b"caf\xe9")
    odd.mkdir(parents=True)
    good = make_video(folder / "good.mp4", "-c:v", "libx264", "-pix_fmt", "yuv420p")
    (odd / "a.mp4").write_bytes(good.read_bytes())
    out = tmp_path / "store"
    settings = {"videos": folder, "out": out, "clip": "tiny", "device": "cpu", "precision": "fp32", "workers": 1}
    done = extract(ExtractConfig(**settings))
    assert (done.exit_status, done.failed) == (3, 1)
    assert FeatureStore.open(out).video_ids == ["good"]
    assert "caf\\xe9/a" in done.failures.read_text()
    assert "its name is not valid UTF-8; rename it" in done.failures.read_text()
    assert extract(ExtractConfig(**settings)).failed == 1

    odd.rename(folder / "café")
    assert extract(ExtractConfig(**settings)).kept == 1
    assert FeatureStore.open(out).video_ids == ["café/a", "good"]


def test_help_does_not_load_torch() -> None:
    code = (
        "import sys, camoe.extract.cli, camoe.extract.config; print([m for m in ('torch', 'clip') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
