"""What all tests share: the folder of real data, an ffmpeg that encodes, and random CLIPs of real shape."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from camoe.pipeline.ffmpeg_binary import find_ffmpeg


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real videos, captions and reference numbers; the test is skipped where CAMOE_SHARED is not set."""
    folder = os.environ.get("CAMOE_SHARED")
    if not folder:
        pytest.skip("CAMOE_SHARED names no folder of real data")
    return Path(folder)


@pytest.fixture(scope="session")
def ffmpeg() -> str:
    """A binary that encodes what the tests need."""
    return find_ffmpeg(prefer_bundled=True)


@pytest.fixture(scope="session")
def make_video(ffmpeg: str):
    """`make_video(path, options…)` runs ffmpeg on a moving test picture; `source` replaces the input options."""

    def make(path: Path, *options: str, source: tuple[str, ...] | None = None, seconds: float = 2.0) -> Path:
        given = source or ("-f", "lavfi", "-i", f"testsrc=size=64x48:rate=10:duration={seconds}")
        command = [ffmpeg, "-y", "-v", "error", "-nostdin", *given, *options, str(path)]
        subprocess.run(command, check=True, timeout=120)
        return path

    return make
