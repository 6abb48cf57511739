"""Videos for benchmarks that were given none: patterns with noise, rendered by ffmpeg, of several sizes and lengths."""

from __future__ import annotations

import subprocess
from pathlib import Path

from camoe.pipeline.ffmpeg_binary import find_ffmpeg

CLIPS = (
    ("320x240", 4), ("640x360", 6), ("480x640", 5), ("854x480", 7), ("1280x720", 5),
    ("640x360", 12), ("320x240", 15), ("854x480", 4), ("480x640", 9), ("1280x720", 8),
)  # fmt: skip
"""Sizes and seconds, at 25 frames a second."""


def render_clips(folder: Path) -> Path:
    """Ten H.264 videos in the folder, which is made; takes some ten seconds."""
    folder.mkdir(parents=True)
    ffmpeg = find_ffmpeg(prefer_bundled=True)
    for number, (size, seconds) in enumerate(CLIPS):
        source = f"testsrc2=size={size}:rate=25:duration={seconds},noise=alls=8:allf=t"
        command = [ffmpeg, "-v", "error", "-f", "lavfi", "-i", source, "-c:v", "libx264", "-preset", "veryfast"]
        subprocess.run([*command, "-pix_fmt", "yuv420p", str(folder / f"clip{number}.mp4")], check=True)
    return folder
