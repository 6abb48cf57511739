"""Training epochs with features on the device, in host memory and on disk, at the size of MSR-VTT; prints one table.

    python benchmarks/resident.py                      # 9,000 videos x 12 x 512, 180,000 captions x 3 streams
    python benchmarks/resident.py --small              # a tenth of the videos
    python benchmarks/resident.py --flat               # stores up to five times the memory that is allowed
    python benchmarks/resident.py --device cuda

Each way of keeping features is a process of its own, which opens the store and trains; the ways take turns. An epoch
is the median of the rounds' epochs, validation left out. Memory is what /proc tells of the process from outside, every
20 ms: `all` is the peak of what is resident, `own` that of its anonymous memory (without files, which the kernel gives
back), each beyond what it held when torch and camoe had been imported. With `--flat` the limit is RLIMIT_DATA, which
the kernel enforces.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import figures
import torch
from figures import Figure
from made_up_store import FRAMES, STREAMS, WIDTH, make_store
from train_epoch import CAPTIONS_PER_VIDEO, VIDEOS

WAYS = ("device", "host", "disk")
HEADS: dict[str, dict[str, Any]] = {"mean": {"aggregator": "mean"}, "attention": {"aggregator": "attention"}}
SAMPLE_S = 0.02
MOST_OF_DEVICE = 1.3
"""Our aim for features in host memory, in epochs with features on the device."""
LONG, SHARD, VALIDATION = 64, 1000, 200
"""Of the stores of `--flat`: frames a video, videos a shard, videos that validate."""


@dataclass(frozen=True)
class Told:
    """What one process came to: seconds of an epoch and of loading, peaks in MB beyond the imports."""

    epoch: float
    load: float
    everything: float
    own: float


def child(path: str, way: str, head: str, options: argparse.Namespace) -> None:
    """Wait for a line, load, train, and print what it took; runs in a process of its own."""
    from camoe.pipeline.store import FeatureStore
    from camoe.train.config import TrainConfig
    from camoe.train.data import load_features
    from camoe.train.model import build_model
    from camoe.train.trainer import Trainer

    torch.set_num_threads(options.threads)
    config = TrainConfig(features=path, batch_size=options.batch_size, **HEADS[head])
    print("ready", flush=True)
    sys.stdin.readline()
    started = time.perf_counter()
    features = load_features(
        FeatureStore.open(path),
        config.strategies,
        protocol=None,
        device=torch.device(options.device),
        subsets=("train",),
        resident=way,
    )
    load, epochs = time.perf_counter() - started, []
    model = build_model(config.recipe, features.shape).to(features.device)
    trainer = Trainer(model, features, config.recipe)
    for _ in range(options.epochs + 1):
        started = time.perf_counter()
        trainer.epoch()
        if features.device.type == "cuda":
            torch.cuda.synchronize()
        epochs.append(time.perf_counter() - started)
    print(json.dumps({"load": load, "epoch": statistics.median(epochs[1:])}), flush=True)


class Watch:
    """The most memory that a process held since it began to be watched, in MB beyond what it held then."""

    def __init__(self, pid: int) -> None:
        self.status, self.peak = Path(f"/proc/{pid}/status"), {"VmRSS": 0, "RssAnon": 0}
        self.before = self._now()
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._look)
        self.thread.start()

    def _now(self) -> dict[str, int]:
        found = dict(line.split(":", 1) for line in self.status.read_text().splitlines())
        return {name: int(found[name].split()[0]) for name in self.peak if name in found}

    def _look(self) -> None:
        while not self.over.wait(SAMPLE_S):
            for name, value in self._now().items():
                self.peak[name] = max(self.peak[name], value)

    def stop(self) -> tuple[float, float]:
        self.over.set()
        self.thread.join()
        beyond = [(self.peak[name] - self.before[name]) / 1e3 for name in ("VmRSS", "RssAnon")]
        return beyond[0], beyond[1]


def measure(path: Path, way: str, head: str, options: argparse.Namespace) -> Told:
    command = [sys.executable, __file__, "--child", str(path), way, head]
    for name in ("threads", "batch_size", "device", "epochs"):
        command += [f"--{name.replace('_', '-')}", str(getattr(options, name))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        watch = Watch(process.pid)
        try:
            print(file=process.stdin, flush=True)
            line = process.stdout.readline()
        finally:
            everything, own = watch.stop()
    found = json.loads(line)
    return Told(found["epoch"], found["load"], everything, own)


def compare(path: Path, options: argparse.Namespace) -> None:
    """One table: every head, each way."""
    print(f"{'':12}{'':8}{'epoch':>10}{'of device':>11}{'load':>9}{'memory all':>13}{'own':>11}")
    for head in options.heads:
        told: dict[str, list[Told]] = {way: [] for way in WAYS}
        for _ in range(options.rounds):
            for way in WAYS:
                told[way].append(measure(path, way, head, options))
        middle = {way: statistics.median(each.epoch for each in told[way]) for way in WAYS}
        for way in WAYS:
            load = statistics.median(each.load for each in told[way])
            everything, own = (max(getattr(each, name) for each in told[way]) for name in ("everything", "own"))
            print(
                f"{head:12}{way:8}{middle[way]:>8.2f} s{middle[way] / middle['device']:>10.2f}x{load:>7.1f} s"
                f"{everything:>10,.0f} MB{own:>8,.0f} MB",
                flush=True,
            )
            if way != "device":
                figures.tell(options.json, beside_device(head, way, middle))


def beside_device(head: str, way: str, epochs: dict[str, float]) -> Figure:
    aim = MOST_OF_DEVICE if way == "host" else None
    ratio = epochs[way] / epochs["device"]
    return Figure(f"epoch of {head}, features on {way}", epochs[way], "s", epochs["device"], ratio, most=aim)


def make_frames(folder: Path, videos: int) -> None:
    """Long videos with one caption each, in shards: a store that is nearly all frames, made a shard at a time."""
    for start in range(0, videos, SHARD):
        make_store(
            folder / f"shard-{start // SHARD:05d}.h5",
            min(SHARD, videos - start),
            captions_each=1,
            frames=LONG,
            held=0 if start else min(VALIDATION, videos // 4),
            streams={"fusion": "full"},
            first=start,
        )


def limited(path: str, way: str, megabytes: int, options: argparse.Namespace) -> None:
    """A whole run with so much data beyond the imports, and the kernel refuses more; in a process of its own."""
    from camoe.train.config import TrainConfig
    from camoe.train.loop import fit

    torch.set_num_threads(1)
    config = TrainConfig(
        features=path,
        out=Path(path).parent / "run",
        overwrite=True,
        resident=way,
        streams=("fusion",),
        aggregator=("mean",),
        epochs=1,
        device=options.device,
        threads=1,
    )
    print("ready", flush=True)
    sys.stdin.readline()
    data = resource.getpagesize() * int(Path("/proc/self/statm").read_text().split()[5])
    resource.setrlimit(resource.RLIMIT_DATA, (data + megabytes * 10**6,) * 2)
    started = time.perf_counter()
    try:
        fit(config, say=lambda line: print(line, file=sys.stderr, flush=True))
        print(json.dumps({"load": 0.0, "epoch": time.perf_counter() - started}), flush=True)
    except (MemoryError, RuntimeError) as error:  # PyTorch and oneDNN have words of their own for it
        if not isinstance(error, MemoryError) and not any(word in str(error) for word in ("allocate", "primitive")):
            raise
        print(json.dumps({"load": 0.0, "epoch": float("nan")}), flush=True)


def flat(folder: Path, options: argparse.Namespace) -> None:
    """Whole runs over stores of growing size under one limit of memory."""
    print(f"limit {options.limit_mb:,} MB beyond the imports; one epoch of a mean head, loading and validation with it")
    print(f"{'videos':>10}{'store':>12}{'':>8}{'run':>10}{'memory all':>13}{'own':>11}")
    for times in (0.4, 1, 5):
        path, videos = folder / f"store-{times}", int(times * options.limit_mb * 10**6) // (2 * LONG * WIDTH)
        path.mkdir()
        make_frames(path, videos)
        size = sum(file.stat().st_size for file in path.iterdir())
        for way in ("auto", "host", "disk"):
            told = measure(path, way, f"{options.limit_mb}", options)
            took = "no room" if math.isnan(told.epoch) else f"{told.epoch:,.1f} s"
            memory = f"{told.everything:>10,.0f} MB{told.own:>8,.0f} MB"
            print(f"{videos:>10,}{size / 1e6:>9,.0f} MB{way:>8}{took:>10}{memory}", flush=True)
        shutil.rmtree(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="a tenth of the videos, one round")
    parser.add_argument("--flat", action="store_true", help="whole runs under a limit of memory instead")
    parser.add_argument("--limit-mb", type=int, default=500, help="with --flat: data beyond the imports")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3, help="epochs a process, after one that is not counted")
    parser.add_argument("--heads", nargs="+", default=list(HEADS), choices=list(HEADS))
    parser.add_argument("--folder", type=Path, help="where stores are made (default: a temporary folder)")
    parser.add_argument(figures.OPTION, help=figures.HELP)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        path, way, what = options.child
        limited(path, way, int(what), options) if what.isdigit() else child(path, way, what, options)
        return
    options.videos = VIDEOS // 10 if options.small else VIDEOS
    options.rounds = 1 if options.small else options.rounds
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        if options.flat:
            flat(Path(folder), options)
            return
        path = Path(folder) / "store.h5"
        make_store(path, options.videos, captions_each=CAPTIONS_PER_VIDEO)
        print(
            f"{options.videos:,} videos x {FRAMES} x {WIDTH}, {options.videos * CAPTIONS_PER_VIDEO:,} captions x "
            f"{len(STREAMS)} streams, store {path.stat().st_size / 1e6:,.0f} MB, batch {options.batch_size}, "
            f"{options.threads} threads, {options.device}"
        )
        compare(path, options)


if __name__ == "__main__":
    main()
