"""`python write_store.py OUT [--videos N] [--size N] [--limit BYTES] [--hold]`: a writer to lock out, kill or starve.

Continues OUT until it holds N videos, `--size` a shard; prints a line when it holds the lock and one for each shard.
"""

from __future__ import annotations

import argparse
import resource
import sys
from pathlib import Path

import numpy as np
from camoe.pipeline.errors import CamoeError
from camoe.pipeline.store import Captions, Shard, StoreSettings, TextTable, Videos
from camoe.pipeline.store.build import StoreBuilder

DIM, FRAMES = 32, 4
SETTINGS = StoreSettings("made-up", "ab" * 32, 100.0, DIM, "fp32", fps=1.0, max_frames=FRAMES, sampling="uniform")


def videos(numbers: range) -> Videos:
    count = len(numbers)
    frames = np.stack([np.random.default_rng(number).normal(size=(FRAMES, DIM)) for number in numbers])
    return Videos(
        id=[f"v{number:05d}" for number in numbers],
        source=[f"v{number:05d}.mp4" for number in numbers],
        source_size=np.array(numbers),
        source_mtime=np.array(numbers, float),
        duration_s=np.ones(count),
        status=["ok"] * count,
        frame_count=np.full(count, FRAMES),
        frames=frames.astype(np.float16),
        frame_time_s=np.zeros((count, FRAMES), np.float32),
    )


def texts(number: int) -> Shard:
    sentences = [f"sentence {row}" for row in range(number)]
    embedding = np.random.default_rng(0).normal(size=(number, DIM)).astype(np.float16)
    captions = Captions([str(row) for row in range(number)], [f"v{row:05d}" for row in range(number)], sentences, {})
    return Shard(
        SETTINGS, captions=captions, texts={("full", "fusion"): TextTable(sentences, embedding, np.arange(number))}
    )


def fill(out: Path, count: int, size: int, hold: bool = False) -> None:
    with StoreBuilder(out, SETTINGS) as builder:
        print("locked", flush=True)
        if hold:
            sys.stdin.readline()
        if not builder.inventory.has_texts(("full", "fusion"), ("v00000", "0")):
            builder.publish(texts(count))
        todo = [number for number in range(count) if f"v{number:05d}" not in builder.inventory.videos]
        for start in range(0, len(todo), size):
            part = todo[start : start + size]
            builder.publish(Shard(SETTINGS, videos=videos(range(part[0], part[-1] + 1))))
            print("published", flush=True)
        builder.finish()


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--videos", type=int, default=60)
    parser.add_argument("--size", type=int, default=5)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--hold", action="store_true")
    options = parser.parse_args()
    if options.limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (options.limit, options.limit))
    try:
        fill(options.out, options.videos, options.size, hold=options.hold)
    except CamoeError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main())
