"""How long the report of a test set as large as MSR-VTT's takes, without thumbnails; prints one table.

    python benchmarks/report.py                          # 1,000 test videos with 1 and with 20 captions each
    python benchmarks/report.py --train 900              # fewer training videos: quicker to set up
    python benchmarks/report.py --model frame-attention

Features are made up: a caption lies near its own video, and every caption is a sentence of its own in every stream. The
run learns for one epoch, which is not timed. Timed is the command, `camoe-report RUN --no-pictures`, from its start to
its end, beside `camoe-evaluate` of the same run: what the page costs is the difference.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from pathlib import Path

import figures
import numpy as np
from camoe.pipeline.store import store_from_arrays
from camoe.train.config import TrainConfig
from camoe.train.loop import fit
from commands import seconds
from figures import Figure

WIDTH, TEST, VAL = 512, 1000, 500
MOST_SECONDS = 60.0
"""Our aim for a report."""
STREAMS = {"fusion": "full", "entity": "muw", "action": "muw"}
APART = 6.0
"""How far a caption or a frame lies from the middle of its video, a unit vector: far enough that many are not found."""


def make_store(path: Path, *, train: int, captions_each: int, frames: int) -> Path:
    """Test videos with `captions_each` captions, training videos with 20, validation videos with 1."""
    draw = np.random.default_rng(0)
    counts = np.repeat([20, 1, captions_each], [train, VAL, TEST])
    ids = [f"video{row:05d}" for row in range(len(counts))]
    subsets = np.repeat(["train", "val", "test"], [train, VAL, TEST]).tolist()
    middles = unit(draw.standard_normal((len(counts), WIDTH), np.float32))
    owner = np.repeat(np.arange(len(counts)), counts)
    store_from_arrays(
        path,
        frames=np.stack([around(middles, draw) for _ in range(frames)], axis=1).astype(np.float16),
        video_ids=ids,
        captions=[f"caption {row} of a video that was made up" for row in range(len(owner))],
        caption_videos=[ids[video] for video in owner],
        texts={
            (strategy, stream): around(middles[owner], draw).astype(np.float16) for stream, strategy in STREAMS.items()
        },
        model="made up",
        splits=dict(zip(ids, subsets, strict=True)),
    )
    return path


def around(middles: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Unit vectors `APART` from `middles`."""
    return unit(middles + APART * unit(draw.standard_normal(middles.shape, np.float32)))


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=int, default=9000, help="training videos, of 20 captions each")
    parser.add_argument("--captions", type=int, nargs="+", default=[1, 20], help="captions of each test video")
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--model", default="camoe")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(figures.OPTION, help=figures.HELP)
    options = parser.parse_args()
    print(f"{TEST:,} test videos, {options.train:,} to train on, {options.model}, {os.cpu_count()} cores; seconds")
    print(f"{'captions':>10}{'camoe-evaluate':>16}{'camoe-report':>14}")
    for captions in options.captions:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            store = make_store(folder / "store.h5", train=options.train, captions_each=captions, frames=options.frames)
            run = fit(TrainConfig(features=(str(store),), model=options.model, epochs=1, out=folder / "run"))
            commands = {
                "camoe.evaluate.cli": ["--run", run, "--rerank", "none", "dsl", "querybank"],
                "camoe.evaluate.report.cli": [run, "--no-pictures"],
            }
            taken = [
                statistics.median(seconds(module, *words) for _ in range(options.repeats))
                for module, words in commands.items()
            ]
            print(f"{TEST * captions:>10,}{taken[0]:>16.1f}{taken[1]:>14.1f}", flush=True)
            what = f"report of {TEST:,} test videos and {TEST * captions:,} captions, beside camoe-evaluate"
            figures.tell(options.json, Figure(what, taken[1], "s", taken[0], most=MOST_SECONDS))


if __name__ == "__main__":
    main()
