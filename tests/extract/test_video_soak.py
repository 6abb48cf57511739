"""A thousand damaged videos: each fails with a reason, is marked as damaged, or gives what the whole file gives."""

from __future__ import annotations

import resource
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from camoe.extract.ffmpeg import inspect_binary
from camoe.extract.video import DecodedVideo, Decoder, FrameDecodeError

CLIPS = {
    "mp4": ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-g", "5", "-movflags", "+faststart"),
    "mkv": ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-g", "5"),
    "avi": ("-c:v", "mpeg4", "-g", "5"),
}
TIMEOUT_S = 20.0


def _decoded(decoder: Decoder, path: Path) -> DecodedVideo | None:
    with suppress(FrameDecodeError):
        return decoder.decode(path)
    return None


def _complaints(ffmpeg: str, path: Path) -> tuple[int, str]:
    """What ffmpeg itself, asked plainly, says of a file: fewer frames without damage are right only if it is silent."""
    command = [ffmpeg, "-v", "error", "-nostdin", "-i", str(path), "-map", "0:V:0", "-f", "null", "-"]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S)
    return done.returncode, done.stderr


@pytest.mark.soak
@pytest.mark.parametrize("sampling", ["uniform", "clip4clip"])
@pytest.mark.parametrize("suffix", CLIPS)
def test_mutants_of_videos(
    tmp_path: Path, ffmpeg: str, make_video, mutants, soak_count, suffix: str, sampling: str
) -> None:
    decoder = Decoder(inspect_binary(ffmpeg), 32, 2.0, 12, sampling, timeout_s=TIMEOUT_S)
    whole = make_video(tmp_path / f"whole.{suffix}", *CLIPS[suffix], seconds=4)
    expected = decoder.decode(whole)
    memory_kb, count = 0, soak_count(6, 200)
    for number, content in enumerate(mutants(whole.read_bytes(), count, seed=len(sampling))):
        path = tmp_path / f"mutant.{suffix}"
        path.write_bytes(content)
        begun = time.monotonic()
        video = _decoded(decoder, path)
        if video is not None:
            assert video.frames.shape[1:] == (32, 32, 3)
            assert len(video.frames) == len(video.times_s) <= 12
            assert np.isfinite(video.times_s).all()
            assert np.all(np.diff(video.times_s) >= 0)
            if video.damage is None and len(video.frames) < len(expected.frames):
                assert _complaints(ffmpeg, path) == (0, ""), number
        assert time.monotonic() - begun < TIMEOUT_S + 5
        if number == count // 4:
            memory_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory_kb < 64 << 10
