"""Few frames of long videos: seeking against decoding everything, and where one overtakes the other.

    python benchmarks/long_video.py [--lengths 60,90,120,600]

The clips are rendered by ffmpeg: 640x360 at 25 frames/s, H.264 with a keyframe every ten seconds (x264's default).
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import click
import figures
import numpy as np
from camoe.extract.ffmpeg import inspect_binary
from camoe.extract.video import DecodedVideo, Decoder
from camoe.pipeline.ffmpeg_binary import find_ffmpeg
from figures import Figure

FRAMES = 12
LONG = 91.0
"""Seconds from which on frames are sought: there it must not be slower than decoding all."""


def render(ffmpeg: str, path: Path, seconds: float) -> Path:
    source = f"mandelbrot=size=640x360:rate=25,trim=duration=20,loop=loop=-1:size=500,trim=duration={seconds}"
    command = [ffmpeg, "-v", "error", "-f", "lavfi", "-i", source, "-c:v", "libx264", "-preset", "veryfast"]
    subprocess.run([*command, "-g", "250", "-pix_fmt", "yuv420p", str(path)], check=True)
    return path


def timed(decoder: Decoder, path: Path, repeats: int = 3) -> tuple[float, DecodedVideo]:
    best, video = float("inf"), None
    for _ in range(repeats):
        start = time.perf_counter()
        video = decoder.decode(path)
        best = min(best, time.perf_counter() - start)
    assert video is not None
    return best, video


@click.command()
@click.option("--lengths", default="30,60,90,120,180,600", show_default=True, help="Seconds.")
@click.option(figures.OPTION, "json_file", default=None, help=figures.HELP)
def main(lengths: str, json_file: str | None) -> None:
    ffmpeg = find_ffmpeg(prefer_bundled=True)
    decoder = Decoder(inspect_binary(ffmpeg), 224, 1.0, FRAMES, "uniform")
    print(f"ffmpeg {decoder.binary.version}, {FRAMES} frames of 640x360 at 25 frames/s")
    print(f"{'length':>9}{'decode all':>13}{'seek':>9}{'ratio':>8}{'seconds of video a seek costs':>32}  same frames")
    with tempfile.TemporaryDirectory() as folder:
        for seconds in map(float, lengths.split(",")):
            path = render(ffmpeg, Path(folder) / f"{seconds:.0f}.mp4", seconds)
            whole, all_frames = timed(replace(decoder, seek_cost_s=1e9), path)
            seek, sought = timed(replace(decoder, seek_cost_s=0.0), path)
            same = np.array_equal(all_frames.frames, sought.frames)
            cost = seek / (FRAMES + 1) / (whole / seconds)
            print(f"{seconds:8.0f}s{whole:12.2f}s{seek:8.2f}s{whole / seek:8.2f}{cost:32.1f}  {same}")
            aim = 1.0 if seconds > LONG else None
            what = f"{FRAMES} frames of {seconds:.0f} s of video, seeking"
            figures.tell(json_file, Figure(what, seek, "s", whole, whole / seek, least=aim))


if __name__ == "__main__":
    main()
