"""One clip, eight, forty: ours beside two plain ways, each as a process of its own, its start-up included.

    python benchmarks/small_folders.py --videos DIR [--clips 1,8,40] [--rounds 1]

The clips are those below DIR, linked again where there are fewer. Plain ways, both in fp32 with OpenCV, Pillow's resize
and OpenAI's own model class: `one by one` (as video_features works) decodes a video, encodes its frames as one batch,
and goes on to the next; `in batches` (as clip-video-encode works) decodes videos in as many threads as there are cores
and encodes 256 frames at once. All take a frame a second, twelve at most, from the same weights file.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from pathlib import Path

import click

BATCH_OF_FRAMES = 256
OURS = "import sys; from camoe.extract.cli import main; main()"


def link_clips(videos: Path, folder: Path, count: int) -> None:
    files = sorted(path for path in videos.rglob("*") if path.suffix.lower() in (".mp4", ".avi", ".mkv", ".webm"))
    if not files:
        raise click.ClickException(f"{videos} holds no videos")
    folder.mkdir()
    for number, path in enumerate(islice(cycle(files), count)):
        (folder / f"{number:04d}{path.suffix}").symlink_to(path.resolve())


def read_frames(path: Path) -> list:
    """A frame a second, at most twelve, spread evenly."""
    import cv2
    import numpy as np
    from PIL import Image

    capture = cv2.VideoCapture(str(path))
    rate = capture.get(cv2.CAP_PROP_FPS)
    frames, number = [], 0
    while capture.grab():
        if number >= round(len(frames) * rate):
            _, frame = capture.retrieve()
            frames.append(Image.fromarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)))
        number += 1
    return [frames[i] for i in np.linspace(0, len(frames) - 1, min(12, len(frames)), dtype=int)]


def run_plainly(way: str, weights: str, folder: Path) -> None:
    """What the child of a plain way does, from loading the model on."""
    import clip
    import torch
    from clip.clip import _transform

    state = torch.load(weights, map_location="cpu", weights_only=True)
    model = clip.model.build_model(state).float()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model, transform = model.to(device), _transform(model.visual.input_resolution)
    paths = sorted(folder.iterdir())

    def pixels(path: Path) -> torch.Tensor:
        return torch.stack([transform(frame) for frame in read_frames(path)])

    with torch.inference_mode():
        if way == "one by one":
            for path in paths:
                torch.save(model.encode_image(pixels(path).to(device)).cpu(), folder.parent / f"{path.name}.pt")
            return
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            waiting = torch.cat(list(pool.map(pixels, paths)))
        parts = [model.encode_image(part.to(device)).cpu() for part in waiting.split(BATCH_OF_FRAMES)]
        torch.save(torch.cat(parts), folder.parent / "all.pt")


def command(way: str, weights: str, folder: Path, out: Path) -> list[str]:
    if way in ("one by one", "in batches"):
        return [sys.executable, "-W", "ignore", __file__, "--way", way, "--clip", weights, "--videos", str(folder)]
    options = ["--videos", str(folder), "--out", str(out), "--clip", weights, "--precision", way.split()[-1]]
    return [sys.executable, "-c", OURS, *options]


@click.command()
@click.option("--videos", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--clips", default="1,8,40", show_default=True)
@click.option("--rounds", default=1, show_default=True)
@click.option("--clip", "weights", default=None, help="State dict; none: random ViT-B/32.")
@click.option("--way", default=None, hidden=True)
def main(videos: Path, clips: str, rounds: int, weights: str | None, way: str | None) -> None:
    if way is not None:
        assert weights is not None
        run_plainly(way, weights, videos)
        return
    import torch
    from camoe.extract.precision import BEST, units_of
    from random_clip import random_vit_b32

    units = units_of("cuda" if torch.cuda.is_available() else "cpu")
    ways = ["one by one", "in batches", *dict.fromkeys(("camoe fp32", f"camoe {BEST[units].precision}"))]
    print(f"{units}, {len(os.sched_getaffinity(0))} cores, seconds of a whole process, median of {rounds}")
    print(f"{'clips':>6}" + "".join(f"{name:>14}" for name in ways) + "   against one by one")
    with tempfile.TemporaryDirectory() as temporary:
        weights = weights or str(random_vit_b32(Path(temporary) / "vit-b-32.pt"))
        for count in map(int, clips.split(",")):
            folder = Path(temporary) / f"{count}" / "videos"
            folder.parent.mkdir()
            link_clips(videos, folder, count)
            taken: dict[str, list[float]] = {name: [] for name in ways}
            for number in range(rounds):
                for name in ways:
                    out = folder.parent / f"{number}-{name.replace(' ', '-')}.h5"
                    start = time.perf_counter()
                    subprocess.run(command(name, weights, folder, out), check=True, capture_output=True)
                    taken[name].append(time.perf_counter() - start)
            plain = taken["one by one"]
            ratios = [
                f"{name} {statistics.median(a / b for a, b in zip(times, plain, strict=True)):.2f}x"
                for name, times in taken.items()
                if name != "one by one"
            ]
            print(f"{count:6}" + "".join(f"{statistics.median(taken[name]):12.1f} s" for name in ways) + "   "
                  + ", ".join(ratios), flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
