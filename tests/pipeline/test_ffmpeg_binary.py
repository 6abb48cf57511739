"""Which ffmpeg is used, and what is said where none can be."""

from __future__ import annotations

import shutil
from pathlib import Path

import imageio_ffmpeg
import pytest
from camoe.pipeline.errors import CamoeError
from camoe.pipeline.ffmpeg_binary import find_ffmpeg

BUNDLED = imageio_ffmpeg.get_ffmpeg_exe()


def program(folder: Path, name: str = "ffmpeg") -> str:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return str(path)


def test_order_of_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_path, by_environment, explicit = (program(tmp_path / name) for name in ("path", "environment", "explicit"))
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setenv("CAMOE_FFMPEG", by_environment)
    assert find_ffmpeg(explicit) == explicit
    assert find_ffmpeg() == find_ffmpeg(prefer_bundled=True) == by_environment
    monkeypatch.delenv("CAMOE_FFMPEG")
    assert find_ffmpeg() == on_path
    assert find_ffmpeg(prefer_bundled=True) == BUNDLED
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert find_ffmpeg() == BUNDLED
    assert shutil.which("ffmpeg") is None


@pytest.mark.parametrize("origin", ["--ffmpeg", "CAMOE_FFMPEG"])
def test_a_named_binary_that_is_none_is_refused(origin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CAMOE_FFMPEG", raising=False)
    if origin == "CAMOE_FFMPEG":
        monkeypatch.setenv(origin, "/nowhere/ffmpeg")
    with pytest.raises(CamoeError, match=f"{origin} names '/nowhere/ffmpeg', which is not a program"):
        find_ffmpeg("/nowhere/ffmpeg" if origin == "--ffmpeg" else None)
