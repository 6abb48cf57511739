"""Memory and speed against the number of videos: one run over few, one over many.

    python benchmarks/scale.py [--few 200] [--many 5000]

A handful of short rendered clips is linked under many names; each run is a process of its own, so that its peak
memory is its own. The built-in tiny CLIP is used, so that decoding and writing, not the encoder, are what is seen.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import figures
from camoe.extract.config import ExtractConfig
from camoe.extract.run import extract
from camoe.pipeline.ffmpeg_binary import find_ffmpeg
from figures import Figure

DISTINCT = 20
MOST_MEMORY = 1.1
"""Our aim: memory does not grow with the number of videos."""


def make_links(folder: Path, count: int) -> Path:
    sources = []
    for number in range(DISTINCT):
        path = folder / f"source-{number}.mp4"
        if not path.exists():
            source = f"testsrc2=size=160x120:rate=10:duration={2 + number % 3}"
            command = [find_ffmpeg(prefer_bundled=True), "-v", "error", "-f", "lavfi", "-i", source]
            subprocess.run([*command, "-c:v", "libx264", "-pix_fmt", "yuv420p", str(path)], check=True)
        sources.append(path)
    videos = folder / f"videos-{count}"
    videos.mkdir()
    for number in range(count):
        (videos / f"video{number:06d}.mp4").symlink_to(sources[number % DISTINCT])
    return videos


@click.command()
@click.option("--few", default=200, show_default=True)
@click.option("--many", default=5000, show_default=True)
@click.option("--single", default=None, hidden=True, help="Run one extraction and print its figures.")
@click.option(figures.OPTION, "json_file", default=None, help=figures.HELP)
def main(few: int, many: int, single: str | None, json_file: str | None) -> None:
    if single is not None:
        report_one(Path(single))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        found = []
        for count in (few, many):
            videos = make_links(folder, count)
            command = [sys.executable, __file__, "--single", str(videos)]
            found.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    print(f"{'videos':>8}{'seconds':>10}{'videos/s':>10}{'peak memory, MB':>17}")
    for figure in found:
        speed = figure["videos"] / figure["seconds"]
        print(f"{figure['videos']:8}{figure['seconds']:10.1f}{speed:10.1f}{figure['peak_mb']:17.0f}")
    small, large = found
    memory = large["peak_mb"] / small["peak_mb"]
    speed = large["videos"] / large["seconds"] / (small["videos"] / small["seconds"])
    print(f"{many / few:.0f} times the videos: {memory:.2f} times the memory, {speed:.2f} times the speed")
    sizes = large["peak_mb"], "MB", small["peak_mb"], memory
    figures.tell(json_file, Figure(f"peak memory, {many:,} videos beside {few:,}", *sizes, most=MOST_MEMORY))


def report_one(videos: Path) -> None:
    count = len(list(videos.iterdir()))
    start = time.perf_counter()
    extract(ExtractConfig(videos=videos, out=videos.with_suffix(".h5"), clip="tiny", fps=4.0, precision="fp32"))
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"videos": count, "seconds": seconds, "peak_mb": peak}))


if __name__ == "__main__":
    main()
