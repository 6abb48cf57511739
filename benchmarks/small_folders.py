"""One clip, eight, forty: ours beside two plain ways, each as a process of its own, its start-up included.

    python benchmarks/small_folders.py --videos DIR [--clips 1,8,40] [--rounds 1] [--busy]

The clips are those below DIR, linked again where there are fewer. Plain ways, both in fp32 with OpenCV, Pillow's resize
and OpenAI's own model class: `one by one` (as video_features works) decodes a video, encodes its frames as one batch,
and goes on to the next; `in batches` (as clip-video-encode works) decodes videos in as many threads as there are cores
and encodes 256 frames at once. All take a frame a second, twelve at most, from the same weights file. `--busy`
runs ours and the first plain way once more beside a process that never rests, in a session of its own, as another
user's would be, and compares what each way loses by it.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path

import click
import figures
from figures import Figure

BATCH_OF_FRAMES = 256
ONE_BY_ONE, IN_BATCHES = "one by one", "in batches"
MOST_OF_ONE_BY_ONE = {"camoe fp32": 0.6, "camoe bf16": 0.4}
MOST_OF_ITS_LOSS = 1.3
"""Our aims: against the first plain way, and what a busy neighbour costs, against what it costs that way."""
BUSY = "import os; parent = os.getppid()\nwhile os.getppid() == parent: sum(range(10_000))"
"""As long as we live."""
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
        if way == ONE_BY_ONE:
            for path in paths:
                torch.save(model.encode_image(pixels(path).to(device)).cpu(), folder.parent / f"{path.name}.pt")
            return
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            waiting = torch.cat(list(pool.map(pixels, paths)))
        parts = [model.encode_image(part.to(device)).cpu() for part in waiting.split(BATCH_OF_FRAMES)]
        torch.save(torch.cat(parts), folder.parent / "all.pt")


def command(way: str, weights: str, folder: Path, out: Path) -> list[str]:
    if way in (ONE_BY_ONE, IN_BATCHES):
        return [sys.executable, "-W", "ignore", __file__, "--way", way, "--clip", weights, "--videos", str(folder)]
    options = ["--videos", str(folder), "--out", str(out), "--clip", weights, "--precision", way.split()[-1]]
    return [sys.executable, "-c", OURS, *options]


def seconds(way: str, weights: str, folder: Path) -> float:
    """Of a whole process."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as out:
        start = time.perf_counter()
        subprocess.run(command(way, weights, folder, Path(out) / "store.h5"), check=True, capture_output=True)
        return time.perf_counter() - start


@contextmanager
def neighbour() -> Iterator[None]:
    """A process that never rests, in a session of its own."""
    with subprocess.Popen([sys.executable, "-c", BUSY], start_new_session=True) as process:
        try:
            yield
        finally:
            process.kill()


def compare(ways: list[str], weights: str, folder: Path, rounds: int, json_file: str | None) -> dict[str, list[float]]:
    """A row of the table; the seconds of each way, round by round."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name in ways:
            taken[name].append(seconds(name, weights, folder))
    count, plain = len(list(folder.iterdir())), statistics.median(taken[ONE_BY_ONE])
    ratios = {name: middle(taken[name], taken[ONE_BY_ONE]) for name in ways if name != ONE_BY_ONE}
    print(f"{count:6}" + "".join(f"{statistics.median(taken[name]):12.1f} s" for name in ways) + "   "
          + ", ".join(f"{name} {ratio:.2f}x" for name, ratio in ratios.items()), flush=True)  # fmt: skip
    for name, ratio in ratios.items():
        what, own = f"{count} clips with start-up, {name}", statistics.median(taken[name])
        figures.tell(json_file, Figure(what, own, "s", plain, ratio, most=MOST_OF_ONE_BY_ONE.get(name)))
    return taken


def compare_beside(alone: dict[str, list[float]], weights: str, folder: Path, json_file: str | None) -> None:
    """The same beside a busy process, and how many times as long each way takes."""
    lost: dict[str, list[float]] = {name: [] for name in alone if name != IN_BATCHES}
    with neighbour():
        for number in range(len(alone[ONE_BY_ONE])):
            for name, ratios in lost.items():
                ratios.append(seconds(name, weights, folder) / alone[name][number])
    count, plain = len(list(folder.iterdir())), statistics.median(lost[ONE_BY_ONE])
    cells = (f"{statistics.median(lost[name]):13.2f}x" if name in lost else f"{'':14}" for name in alone)
    print(f"{'busy':>6}" + "".join(cells) + "   of the seconds alone", flush=True)
    for name in lost:
        if name != ONE_BY_ONE:
            what, own = f"{count} clips beside a busy process, {name}", statistics.median(lost[name])
            ratio = middle(lost[name], lost[ONE_BY_ONE])
            figures.tell(json_file, Figure(what, own, "times", plain, ratio, most=MOST_OF_ITS_LOSS))


def middle(own: list[float], others: list[float]) -> float:
    """The median of the ratios, round by round."""
    return statistics.median(a / b for a, b in zip(own, others, strict=True))


@click.command()
@click.option("--videos", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--clips", default="1,8,40", show_default=True)
@click.option("--rounds", default=1, show_default=True)
@click.option("--clip", "weights", default=None, help="State dict; none: random ViT-B/32.")
@click.option("--busy", is_flag=True, help="Also beside a busy process.")
@click.option("--way", default=None, hidden=True)
@click.option(figures.OPTION, "json_file", default=None, help=figures.HELP)
def main(
    videos: Path, clips: str, rounds: int, weights: str | None, busy: bool, way: str | None, json_file: str | None
) -> None:
    if way is not None:
        assert weights is not None
        run_plainly(way, weights, videos)
        return
    import torch
    from camoe.extract.precision import BEST, units_of
    from random_clip import random_vit_b32

    units = units_of("cuda" if torch.cuda.is_available() else "cpu")
    ways = [ONE_BY_ONE, IN_BATCHES, *dict.fromkeys(("camoe fp32", f"camoe {BEST[units].precision}"))]
    print(f"{units}, {len(os.sched_getaffinity(0))} cores, seconds of a whole process, median of {rounds}")
    print(f"{'clips':>6}" + "".join(f"{name:>14}" for name in ways) + "   against one by one")
    with tempfile.TemporaryDirectory() as temporary:
        weights = weights or str(random_vit_b32(Path(temporary) / "vit-b-32.pt"))
        for count in map(int, clips.split(",")):
            folder = Path(temporary) / f"{count}" / "videos"
            folder.parent.mkdir()
            link_clips(videos, folder, count)
            alone = compare(ways, weights, folder, rounds, json_file)
            if busy:
                compare_beside(alone, weights, folder, json_file)


if __name__ == "__main__":
    main()
