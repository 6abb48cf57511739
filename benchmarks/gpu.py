"""All that only a GPU shows, in one go of at most ten minutes; prints a table for docs/benchmarks.md.

    python benchmarks/gpu.py --videos DIR [--captions FILE] [--minutes 10] [--only encoder,epoch]
    python benchmarks/gpu.py --videos DIR --device cpu --small        # the same steps, tiny: checks the script itself

DIR holds a few real videos, from which ten thousand short clips are cut by ffmpeg; FILE is MSVD's JSON of captions, or
a text file of one a line (without it: made of a few words). Weights are random, of ViT-B/32. Each part is a process of
its own; where the minutes run out, what is done is printed and the rest named.

encoder     frames/s of the encoder alone: from the host as in an extraction, resident, and resident with
            `torch.compile` and CUDA graphs
extraction  frames/s of `camoe-extract` with 4, 8 and all cores' decode workers, and its share of the encoder alone
epoch       an epoch of each head at MSR-VTT's size (9,000 videos, 180,000 captions), and the times that a step waits
            for the device
ensemble    a step of 64 members against one of the trainer
ranking     100,000 x 100,000, raw and under DSL, both directions
headline    ten thousand clips to the finished table: extract, train, evaluate, as three commands
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from camoe.pipeline.ffmpeg_binary import find_ffmpeg

CORES = len(os.sched_getaffinity(0))
CLIP_SECONDS = 10.0
ROW = "row\t"


@dataclass(frozen=True)
class Size:
    """How much of everything: the published figures, or just enough to run the script."""

    frames: int
    batches: tuple[int, ...]
    clips: int
    cuts: int
    videos: int
    members: int
    ranked: int
    epochs: int


FULL = Size(frames=8192, batches=(64, 256), clips=10_000, cuts=400, videos=9000, members=64, ranked=100_000, epochs=5)
SMALL = Size(frames=8, batches=(4,), clips=16, cuts=4, videos=40, members=2, ranked=500, epochs=1)
SHARE_OF_CLIPS = 10
"""The extraction with other numbers of workers takes a part of the clips."""

HEADS = (
    "camoe mean", "camoe se", "camoe attention", "camoe attention bf16", "meanp", "temporal", "frame-attention",
    "seqtransf", "afa", "xpool", "tmass", "dicosa", "ti", "wti", "xclip",
)  # fmt: skip


# -- the parts, each in a child process


def row(what: str, value: str, note: str = "") -> None:
    print(ROW + "\t".join((what, value, note)), flush=True)


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(work: Callable[[], object], device: torch.device, rounds: int = 3) -> float:
    """Median of `rounds`, after one that warms up."""
    taken = []
    for number in range(rounds + 1):
        synchronise(device)
        started = time.perf_counter()
        work()
        synchronise(device)
        if number:
            taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def encoder(given: SimpleNamespace, size: Size, device: torch.device) -> None:
    from camoe.extract.clip_encoder import ClipEncoder

    loaded = ClipEncoder.load(str(given.weights), device.type)
    frames = np.random.default_rng(0).integers(0, 256, (size.batches[0], 224, 224, 3), np.uint8)
    batches = size.frames // len(frames)
    spent = seconds(lambda: [loaded.encode_frames(frames) for _ in range(batches)], device, 1)
    rate = batches * len(frames) / spent
    row("encoder alone, from the host", f"{rate:,.0f} frames/s", f"{loaded.precision}, {len(frames)} a batch")
    for count in size.batches:
        pixels = torch.rand(count, 3, 224, 224, device=device)
        repeats = max(1, size.frames // count)
        for name, encode in (("", loaded.model.encode_image), (", compiled", None)):
            if encode is None:
                encode = torch.compile(loaded.model.encode_image, mode="reduce-overhead")
            with torch.inference_mode():
                spent = seconds(lambda e=encode, p=pixels, n=repeats: [e(p) for _ in range(n)], device, 1)  # type: ignore[misc]
            row(f"encoder alone, resident{name}", f"{repeats * count / spent:,.0f} frames/s", f"{count} a batch")


def extraction(given: SimpleNamespace, size: Size, device: torch.device) -> None:
    from camoe.extract.clip_encoder import ClipEncoder
    from camoe.extract.config import ExtractConfig
    from camoe.extract.run import extract

    folder = given.folder / "few"
    clips = sorted((given.folder / "clips").iterdir())
    folder.mkdir()
    for path in clips[: max(8, len(clips) // SHARE_OF_CLIPS)]:
        os.link(path, folder / path.name)
    loaded = ClipEncoder.load(str(given.weights), device.type)
    batch = np.zeros((size.batches[0], 224, 224, 3), np.uint8)
    repeats = max(1, size.frames // 8 // len(batch))
    alone = repeats * len(batch) / seconds(lambda: [loaded.encode_frames(batch) for _ in range(repeats)], device, 1)
    for workers in sorted({min(4, CORES), min(8, CORES), CORES}):
        config = ExtractConfig(
            videos=folder, out=given.folder / f"few-{workers}.h5", clip=str(given.weights), device=device.type,
            workers=workers,
        )  # fmt: skip
        started = time.perf_counter()
        done = extract(config)
        rate = done.frames.frames / (time.perf_counter() - started)
        note = f"{done.frames.videos} clips, loading the model included; {rate / alone:.0%} of the encoder alone"
        row(f"extraction, {workers} decode workers", f"{rate:,.0f} frames/s", note)


def epoch(given: SimpleNamespace, size: Size, device: torch.device) -> None:
    from camoe.pipeline.store import FeatureStore
    from camoe.train.config import TrainConfig
    from camoe.train.data import load_features
    from camoe.train.model import build_model
    from camoe.train.names import MODELS
    from camoe.train.trainer import Trainer
    from made_up_store import make_store

    path = given.folder / "epoch.h5"
    make_store(path, size.videos, captions_each=20, words=10)
    store = FeatureStore.open(path)
    for name in HEADS:
        model, *more = name.split()
        own: dict[str, Any] = {"model": model, "features": (str(path),), "batch_size": 128 if size is FULL else 8}
        own |= {"aggregator": (more[0],)} if more else {}
        own |= {"precision": "bf16"} if "bf16" in more else {}
        own |= {"streams": ("fusion",)} if model not in ("camoe", "frame-attention") else {}
        config = TrainConfig(**own)
        recipe = config.recipe
        features = load_features(
            store, config.strategies, protocol=None, device=device, subsets=("train",), raw=MODELS[model].raw,
            words=MODELS[model].words,
        )  # fmt: skip
        trainer = Trainer(build_model(recipe, features.shape).to(device), features, recipe)
        batches = trainer.sampler.epoch().to(device)
        spent = seconds(lambda t=trainer, b=batches: [t._step(captions) for captions in b], device, 1)  # type: ignore[misc]
        note = f"{1e3 * spent / len(batches):.1f} ms a step, {waits(trainer, batches[0], device)}"
        row(f"epoch, {name}", f"{spent:.2f} s", note)
        del trainer, features


def waits(trainer: Any, captions: torch.Tensor, device: torch.device) -> str:
    """How often a step waits for the device, by PyTorch's own count."""
    if device.type != "cuda":
        return "waits not counted on a CPU"
    torch.cuda.set_sync_debug_mode("warn")
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        trainer._step(captions)
    torch.cuda.set_sync_debug_mode("default")
    return f"{sum('synchron' in str(warning.message) for warning in found)} waits a step"


def ensemble(given: SimpleNamespace, size: Size, device: torch.device) -> None:
    from camoe.train.feature_cache import FeatureCache
    from made_up_store import make_store
    from sweep import _step_of

    store = given.folder / "members.h5"
    videos = min(size.videos, 2000)
    make_store(store, videos, captions_each=4, held=videos // 20)
    resident = FeatureCache((str(store),), protocol=None, allow_missing=False, device=device)
    for aggregator in ("mean", "attention"):
        options = argparse.Namespace(aggregator=aggregator, batch_size=128 if size is FULL else 8, seeds=3)
        one = seconds(_step_of(resident, 0, options)[0], device, 5)
        many = seconds(_step_of(resident, size.members, options)[0], device, 5)
        note = f"{many / one:.1f}x one member's {1e3 * one:.1f} ms"
        row(f"step of {size.members} members, {aggregator} experts", f"{1e3 * many:.1f} ms", note)


def ranking(given: SimpleNamespace, size: Size, device: torch.device) -> None:
    from camoe.pipeline.ranking import ranks_chunked
    from camoe.pipeline.reranking.ranks import Banks, reranked_ranks
    from camoe.pipeline.reranking.table import make
    from camoe.pipeline.scores import EmbeddingScores
    from torch.nn import functional as F

    draw = torch.Generator().manual_seed(0)
    text, video = (F.normalize(torch.randn(size.ranked, 512, generator=draw), dim=1).to(device) for _ in range(2))
    spent = seconds(lambda: ranks_chunked(text, video), device, 1)
    row(f"ranking {size.ranked:,} x {size.ranked:,}, raw", f"{spent:.1f} s", "both directions")
    scores = EmbeddingScores(100 * text, video)

    def dsl() -> None:
        for direction in ("t2v", "v2t"):
            reranked_ranks(scores, {"dsl": make("dsl", {})}, None, direction, banks=Banks())

    row(f"ranking {size.ranked:,} x {size.ranked:,}, DSL", f"{seconds(dsl, device, 1):.1f} s", "both directions")


def headline(given: SimpleNamespace, size: Size, device: torch.device) -> None:
    out, run = given.folder / "shards.h5", given.folder / "run"
    total = 0.0
    for name, *options in (
        ("extract", "--videos", given.folder / "clips", "--captions", given.folder / "captions.csv", "--out", out,
         "--clip", given.weights, "--device", device.type),
        ("train", "--features", out, "--out", run, "--epochs", size.epochs, "--device", device.type),
        ("evaluate", "--run", run, "--device", device.type),
    ):  # fmt: skip
        started = time.perf_counter()
        words = [sys.executable, "-c", f"from camoe.{name}.cli import main; main()", *map(str, options)]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
        spent = time.perf_counter() - started
        total += spent
        row(f"headline, camoe-{name}", f"{spent:.1f} s", f"{size.clips:,} clips")
    row("headline, clips to the table", f"{total / 60:.1f} min", f"one card, {CORES} cores")


PARTS = {part.__name__: part for part in (encoder, extraction, epoch, ensemble, ranking, headline)}


# -- what they need


def cut_clips(videos: Path, folder: Path, size: Size) -> None:
    """`size.cuts` pieces of the videos, as H.264 of 320 pixels' height, and copies of them up to `size.clips`."""
    from camoe.extract.files import find_videos

    sources = [item.path for item in find_videos(videos)]
    binary = find_ffmpeg(prefer_bundled=True)
    folder.mkdir()

    def cut(number: int) -> Path:
        path, lap = sources[number % len(sources)], number // len(sources)
        out = folder / f"clip{number:05d}.mp4"
        length = CLIP_SECONDS - lap % 5
        options = ["-t", str(length), "-vf", "scale=-2:320", "-an", "-c:v", "libx264", "-preset", "veryfast"]
        command = [binary, "-v", "error", "-y", "-stream_loop", "-1", "-i", str(path), *options, str(out)]
        subprocess.run(command, check=True, timeout=300)
        return out

    with ThreadPoolExecutor(CORES) as pool:
        cuts = list(pool.map(cut, range(min(size.cuts, size.clips))))
    for number, source in enumerate(islice(cycle(cuts), size.clips)):
        if number >= len(cuts):
            os.link(source, folder / f"clip{number:05d}.mp4")


def write_captions(given: Path | None, folder: Path) -> None:
    """Twenty captions a clip."""
    import csv

    from precision import make_texts
    from text_encoding import read_captions

    clips = sorted((folder / "clips").iterdir())
    texts = cycle(read_captions(given, 100_000) if given is not None else make_texts(5000))
    with (folder / "captions.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("video_id", "caption"))
        writer.writerows((path.stem, next(texts)) for path in clips for _ in range(20))


def machine(device: torch.device) -> str:
    if device.type != "cuda":
        return f"CPU with {CORES} cores; torch {torch.__version__}"
    asked = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    found = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip().splitlines()
    return f"{found[0] if found else torch.cuda.get_device_name()}, {CORES} cores; torch {torch.__version__}"


def run_part(name: str, words: list[str], left: float) -> Iterator[str]:
    """The rows of a part as they come, and a line that says why there are no more."""
    with tempfile.TemporaryFile("w+") as complaints:
        child = subprocess.Popen(
            [*words, "--part", name], stdout=subprocess.PIPE, stderr=complaints, text=True, start_new_session=True
        )
        assert child.stdout is not None
        clock = threading.Timer(max(left, 1.0), os.killpg, (child.pid, signal.SIGKILL))
        clock.start()
        yield from (line.rstrip("\n") for line in child.stdout if line.startswith(ROW))
        ended = child.wait()
        clock.cancel()
        complaints.seek(0)
        last = complaints.read().strip().splitlines()[-1:]
    if ended == -signal.SIGKILL:
        yield f"{name}: the minutes ran out"
    elif ended:
        yield f"{name}: failed; {''.join(last)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=Path, required=True)
    parser.add_argument("--captions", type=Path)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--only", default=",".join(PARTS), help="parts, in this order")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--part", help=argparse.SUPPRESS)
    options = parser.parse_args()
    size, device = SMALL if options.small else FULL, torch.device(options.device)
    if options.part:
        given = SimpleNamespace(folder=options.folder, weights=options.folder / "vit-b-32.pt")
        return PARTS[options.part](given, size, device)
    if device.type == "cuda" and not torch.cuda.is_available():
        sys.exit("there is no CUDA device here; --device cpu --small checks the script")
    with tempfile.TemporaryDirectory() as folder:
        measure(options, Path(folder), size, device)


def measure(options: argparse.Namespace, folder: Path, size: Size, device: torch.device) -> None:
    from random_clip import random_vit_b32

    started = time.monotonic()
    wanted = options.only.split(",")
    random_vit_b32(folder / "vit-b-32.pt")
    if {"extraction", "headline"} & set(wanted):
        cut_clips(options.videos, folder / "clips", size)
        write_captions(options.captions, folder)
    print(
        f"{machine(device)}; prepared in {time.monotonic() - started:.0f} s\n\n| what | | |\n|---|--:|---|", flush=True
    )
    words = [sys.executable, "-W", "ignore", __file__, "--videos", str(options.videos), "--folder", str(folder)]
    words += ["--device", options.device, *(["--small"] if options.small else [])]
    missing = []
    for name in wanted:
        for line in run_part(name, words, 60 * options.minutes - (time.monotonic() - started)):
            if line.startswith(ROW):
                print("| " + " | ".join(line.removeprefix(ROW).split("\t")) + " |", flush=True)
            else:
                missing.append(line)
    print(f"\n{(time.monotonic() - started) / 60:.1f} minutes in all")
    for line in missing:
        print(line)
    if missing:
        sys.exit(1)


if __name__ == "__main__":
    main()
