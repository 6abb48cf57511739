"""CLIP4Clip's frames, against OpenCV itself on videos of constant and of variable rate."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from camoe.extract.clip4clip import FrameTable, clip4clip_frames, clip4clip_steps
from camoe.extract.ffmpeg import inspect_binary
from camoe.extract.video import Decoder, Window

VARIABLE = {
    "slower": "lt(n,60)+not(mod(n,3))",
    "faster": "not(mod(n,2))+gt(n,180)",
    "gaps": "lt(n,100)+eq(n,150)+gt(n,200)",
    "jitter": "gt(random(1),0.4)",
}
"""Which frames of thirty a second are kept, as ffmpeg says it."""


@pytest.fixture(scope="module")
def decoder(ffmpeg: str) -> Decoder:
    return Decoder(inspect_binary(ffmpeg), resolution=64, fps=1.0, max_frames=64, sampling="clip4clip", timeout_s=60)


def test_the_frame_rate_is_truncated() -> None:
    assert clip4clip_steps(29.97, 1) == (29, [0])
    assert clip4clip_steps(25.0, 2) == (25, [0, 12])
    assert clip4clip_steps(0.5, 1) == (1, [0])


def test_a_window_takes_its_own_seconds() -> None:
    table = FrameTable(range(0, 1000, 10), range(0, 1000, 100), 1e-3, 100.0, 100)
    assert clip4clip_frames(table, fps=2) == [0, 50]
    table = FrameTable(range(0, 100_000, 40), [0], 1e-3, 25.0, 2500)
    assert clip4clip_frames(table, fps=1, start_s=30.0, end_s=33.0) == [750, 775, 800]


@pytest.mark.parametrize("name", VARIABLE)
@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_variable_rates_give_opencvs_frames(
    decoder: Decoder, tmp_path: Path, make_video, name: str, container: str
) -> None:
    """The average rate sets how many frames there are, and OpenCV's seeks which."""
    path = _variable(tmp_path / f"x.{container}", make_video, VARIABLE[name])
    every, taken = _frames_of_opencv(path)
    video = decoder.decode(path)
    times_s = np.array([time_s for time_s, _ in every])
    expected = [time_s for time_s, frame in every if any(np.array_equal(frame, other) for other in taken)]
    assert len(video.frames) == len(taken) == len(expected)
    assert video.times_s == pytest.approx(np.array(expected), abs=2e-3)
    assert video.damage is None
    assert np.diff(times_s).max() > 1.5 * np.diff(times_s).min()


def test_a_window_is_counted_in_the_files_frames(decoder: Decoder, tmp_path: Path, make_video) -> None:
    """At 29.97 frames a second the 20th second begins, for that code, at frame 580, half a frame-second early."""
    source = ("-f", "lavfi", "-i", "testsrc2=size=96x64:rate=30000/1001:duration=30")
    path = make_video(tmp_path / "x.mp4", "-c:v", "libx264", "-pix_fmt", "yuv420p", source=source)
    video = decoder.decode(path, Window(10.0, 13.0))
    assert video.times_s == pytest.approx([max(0, n * 1001 / 30000 - 10) for n in (290, 319, 348)], abs=1e-3)


def test_many_frames_are_kept(decoder: Decoder, tmp_path: Path, make_video) -> None:
    source = ("-f", "lavfi", "-i", "testsrc2=size=32x32:rate=30:duration=140")
    path = make_video(tmp_path / "x.mp4", "-c:v", "libx264", "-pix_fmt", "yuv420p", source=source)
    video = replace(decoder, fps=30.0, max_frames=4096, resolution=16).decode(path)
    assert len(video.frames) == 4096


def _variable(path: Path, make_video, select: str) -> Path:
    source = ("-f", "lavfi", "-i", "testsrc2=size=96x64:rate=30:duration=9")
    options = ("-vf", f"select='{select}'", "-fps_mode", "vfr", "-c:v", "libx264", "-qp", "0", "-pix_fmt", "yuv444p")
    return make_video(path, *options, "-g", "24", source=source)


def _frames_of_opencv(path: Path) -> tuple[list[tuple[float, np.ndarray]], list[np.ndarray]]:
    """All frames with their times, and those that CLIP4Clip's loop takes."""
    cv2 = pytest.importorskip("cv2")
    capture, every = cv2.VideoCapture(str(path)), []
    while True:
        read, frame = capture.read()
        if not read:
            break
        every.append((capture.get(cv2.CAP_PROP_POS_MSEC) / 1000, frame))
    capture, taken = cv2.VideoCapture(str(path)), []
    rate, total = int(capture.get(cv2.CAP_PROP_FPS)), int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    for second in range((total + rate - 1) // rate + 1):
        capture.set(cv2.CAP_PROP_POS_FRAMES, second * rate)
        read, frame = capture.read()
        if not read:
            break
        taken.append(frame)
    return every, taken
