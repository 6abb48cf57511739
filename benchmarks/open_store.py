"""How fast a store of MSR-VTT's size opens and loads, against reading the same file from one end to the other.

    python benchmarks/open_store.py [--videos 10000] [--captions 200000] [--shards N] [--folder DIR] [--runs 3]

10,000 videos x 12 x 512 and 200,000 captions x 3 text tables, one sentence each: random numbers in a temporary folder.
Every measurement starts with the file out of the page cache where the system allows it (posix_fadvise). With --shards
the store is a folder of N frames shards and N texts shards, and merging it into one file is measured as well.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import figures
import numpy as np
from camoe.pipeline.store import Captions, FeatureStore, Shard, StoreSettings, find_shards
from camoe.pipeline.store.build import StoreBuilder
from camoe.pipeline.store.single_file import write_single_file
from figures import Figure
from made_up_store import made_up_texts, made_up_videos

DIM, FRAMES = 512, 12
NAMES = [("full", "fusion"), ("muw", "entity"), ("muw", "action")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=10_000)
    parser.add_argument("--captions", type=int, default=200_000)
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument(figures.OPTION, help=figures.HELP)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        out = Path(folder) / ("store.h5" if options.shards == 1 else "store")
        seconds = timed(lambda: make(out, options.videos, options.captions, options.shards))
        size = sum(path.stat().st_size for path in find_shards(out))
        print(f"made in {seconds:.1f} s: {out.name}, {len(find_shards(out))} shards, {size / 1e6:,.0f} MB")
        plain = measure("read the bytes, one after the other", out, lambda: read_plainly(out), options.runs)
        opened = measure("open: settings, ids, checks", out, lambda: FeatureStore.open(out).video_ids, options.runs)
        frames = measure("load the frames", out, lambda: FeatureStore.open(out).frames(), options.runs)
        texts = measure("load captions and texts", out, lambda: load_texts(out), options.runs)
        whole = measure("open and load all, once", out, lambda: load_all(out), options.runs)
        print(f"open {opened:.2f} s, frames {frames:.2f} s, texts {texts:.2f} s")
        print(f"all of it: {size / 1e6 / whole:,.0f} MB/s, plain reading {size / 1e6 / plain:,.0f} MB/s")
        print(f"ratio: {whole / plain:.2f} x the time of plain reading")
        what = f"store of {options.videos:,} videos and {options.captions:,} captions, opened and loaded"
        figures.tell(options.json, Figure(what, whole, "s", plain, whole / plain))
        if options.shards > 1:
            parts = find_shards(out)
            merged = timed(lambda: write_single_file(parts, Path(folder) / "merged.h5"))
            print(f"merge into one file: {merged:.2f} s, {size / 1e6 / merged:,.0f} MB/s")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
        print(f"peak memory of this process: {peak:,.0f} MB (it also made the store)")


def make(out: Path, video_count: int, caption_count: int, shards: int) -> None:
    settings = StoreSettings(
        "made-up", "00" * 32, 100.0, DIM, "fp32", fps=1.0, max_frames=FRAMES, sampling="uniform", strategies=("full",)
    )
    draw = np.random.default_rng(0)
    with StoreBuilder(out, settings) as builder:
        for part in np.array_split(np.arange(video_count), shards):
            ids = [f"video{number}" for number in part]
            values = draw.standard_normal((len(part), FRAMES, DIM), np.float32)
            builder.publish(Shard(settings, videos=made_up_videos(ids, values)))
        for part in np.array_split(np.arange(caption_count), shards):
            builder.publish(make_captions(part, settings, video_count, draw))
        builder.finish()


def make_captions(numbers: np.ndarray, settings: StoreSettings, videos: int, draw: np.random.Generator) -> Shard:
    sentences = [f"a person number {number} is doing something in a room with another one" for number in numbers]
    owner = numbers * videos // (int(numbers[-1]) + 1 if len(numbers) else 1) % videos
    return Shard(
        settings,
        captions=Captions(
            id=[f"sen{number:06d}" for number in numbers],
            video_id=[f"video{video}" for video in owner],
            text=sentences,
            protocols={"msrvtt-1ka-9k": (numbers % 3 + 1).astype(np.uint8)},
        ),
        texts={name: made_up_texts(sentences, draw, DIM) for name in NAMES},
    )


def read_plainly(out: Path) -> None:
    buffer = bytearray(1 << 20)
    for path in find_shards(out):
        with open(path, "rb", buffering=0) as stream:
            while stream.readinto(buffer):
                pass


def load_texts(out: Path) -> None:
    store = FeatureStore.open(out)
    for name in NAMES:
        store.text_table(*name)


def load_all(out: Path) -> None:
    store = FeatureStore.open(out)
    store.frames()
    for name in NAMES:
        store.text_table(*name)


def measure(what: str, out: Path, work: Callable[[], object], runs: int) -> float:
    """The median of several runs, each from a cold page cache as far as the system lets us."""
    found = []
    for _ in range(runs):
        for path in find_shards(out):
            forget(path)
        found.append(timed(work))
    median = statistics.median(found)
    print(f"  {what:<36} {median:7.2f} s   (runs: {', '.join(f'{value:.2f}' for value in found)})")
    return median


def forget(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
