"""Training on resident features against the plain way, at the size of MSR-VTT; prints one table.

    python benchmarks/train_epoch.py                     # 9,000 videos x 12 x 512, 180,000 captions x 3 streams
    python benchmarks/train_epoch.py --scale 0.1         # a tenth of the videos
    python benchmarks/train_epoch.py --device cuda

The plain way is a `DataLoader` with two workers whose dataset reads each item from the HDF5 store, with the same model,
loss, optimiser and batch; both are timed in turns, a few steps at a time, and medians are shown.

data: sampling and gathering the batch, as a share of our step. floor: the step's matrix multiplications alone, the same
sizes, layouts and precision in the same run. epoch: our step times the steps of an epoch.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import figures
import h5py
import torch
from camoe.pipeline.store import FeatureStore
from camoe.train.config import TrainConfig
from camoe.train.data import Features, StreamTexts, load_features
from camoe.train.model import build_model
from camoe.train.trainer import Trainer
from figures import Figure
from made_up_store import FRAMES, STREAMS, WIDTH, make_store
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader, Dataset, RandomSampler

VIDEOS, CAPTIONS_PER_VIDEO = 9000, 20
ROWS: dict[str, dict[str, Any]] = {
    "camoe mean": {"aggregator": "mean"},
    "camoe se": {"aggregator": "se"},
    "camoe attention": {"aggregator": "attention"},
    "camoe attention bf16": {"aggregator": "attention", "precision": "bf16"},
    "frame-attention": {"model": "frame-attention"},
}
LEAST_FASTER = {"camoe mean": 3.0, "camoe se": 3.0}
MOST_OF_PRODUCTS = {"camoe attention": 1.25, "camoe attention bf16": 1.6}
"""Our aims: how many times faster than the plain way, and how many times the products of the step."""
MATMULS = {torch.ops.aten.mm, torch.ops.aten.addmm, torch.ops.aten.bmm, torch.ops.aten.baddbmm}


class PlainDataset(Dataset):
    """One video and one of its captions an item, read from the file when asked for."""

    def __init__(self, path: Path, videos: int) -> None:
        self.path, self.videos, self.file = path, videos, None

    def __len__(self) -> int:
        return self.videos

    def __getitem__(self, video: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        if self.file is None:  # one handle a worker
            self.file = h5py.File(self.path, "r")
            self.tables = [self.file[f"texts/{strategy}/{stream}/embedding"] for stream, strategy in STREAMS.items()]
        caption = video * CAPTIONS_PER_VIDEO + int(torch.randint(CAPTIONS_PER_VIDEO, ()))
        frames = torch.from_numpy(self.file["videos/frames"][video]).float()
        count = int(self.file["videos/frame_count"][video])
        texts = torch.stack([torch.from_numpy(table[caption]).float() for table in self.tables])
        return F.normalize(frames, dim=-1), torch.arange(len(frames)) < count, F.normalize(texts, dim=-1)


class PlainWay:
    """The same trainer, fed from a `DataLoader`."""

    def __init__(self, path: Path, features: Features, config: TrainConfig) -> None:
        self.features, recipe = features, config.recipe
        dataset = PlainDataset(path, len(features.video_ids))
        endless = RandomSampler(dataset, replacement=True, num_samples=1 << 20)
        self.loader = DataLoader(dataset, config.batch_size, sampler=endless, num_workers=2)
        self.trainer = Trainer(build_model(recipe, features.shape).to(features.device), features, recipe)

    def time(self, steps: int) -> float:
        """Milliseconds of `steps` steps, after as many as the workers hold ready; the workers end with it."""
        batches = iter(self.loader)
        for _ in range(5):
            self._step(next(batches))
        return timed(lambda: [self._step(next(batches)) for _ in range(steps)], self.features.device)

    def _step(self, batch: list[torch.Tensor]) -> None:
        frames, mask, texts = (part.to(self.features.device) for part in batch)
        rows = torch.arange(len(frames), device=frames.device)
        streams = [StreamTexts(stream, rows) for stream in texts.unbind(dim=1)]
        self.trainer.features = replace(self.features, frames=frames, mask=mask, video_of_caption=rows, texts=streams)
        self.trainer._step(rows[None])


class MatmulRecorder(TorchDispatchMode):
    """Shapes, strides and types of every matrix multiplication that runs under it, backward ones too."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, list[torch.Tensor]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket in MATMULS:
            left, right = [arg for arg in args if isinstance(arg, torch.Tensor)][-2:]
            operation = torch.bmm if left.ndim == 3 else torch.mm
            empty = [
                torch.empty_strided(part.shape, part.stride(), dtype=part.dtype, device=part.device)
                for part in (left, right)
            ]
            self.calls.append((operation, [part.normal_() for part in empty]))
        return func(*args, **(kwargs or {}))


def timed(work: Callable[[], object], device: torch.device) -> float:
    """Milliseconds."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    started = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return 1e3 * (time.perf_counter() - started)


def matmul_floor(trainer: Trainer, captions: torch.Tensor) -> float:
    """Milliseconds of one step's bare matrix multiplications: the fastest of several passes."""
    with MatmulRecorder() as recorder:
        trainer._step(captions)
    out = [operation(*operands) for operation, operands in recorder.calls]

    def work() -> None:
        for (operation, operands), result in zip(recorder.calls, out, strict=True):
            operation(*operands, out=result)

    device = captions.device
    return min(timed(work, device) for _ in range(8))


def gather(trainer: Trainer, batches: torch.Tensor) -> None:
    features = trainer.features
    for captions in batches:
        rows = features.video_of_caption[captions[0]]
        features.texts_of(captions.flatten()), features.frames.index_select(0, rows), features.mask[rows]


def measure(path: Path, features: Features, config: TrainConfig, rounds: int, steps: int) -> dict[str, float]:
    device = features.device
    trainer = Trainer(build_model(config.recipe, features.shape).to(device), features, config.recipe)
    plain = PlainWay(path, features, config)
    batches = trainer.sampler.epoch().to(device)[:steps]

    def ours() -> None:
        for captions in batches:
            trainer._step(captions)

    ours()
    times: dict[str, list[float]] = {"ours": [], "gather": [], "sampling": [], "plain": []}
    for _ in range(rounds):
        times["ours"].append(timed(ours, device) / len(batches))
        times["gather"].append(timed(lambda: gather(trainer, batches), device) / len(batches))
        times["sampling"].append(timed(lambda: trainer.sampler.epoch().to(device), device) / trainer.sampler.steps)
        times["plain"].append(plain.time(steps) / steps)
    result = {name: statistics.median(found) for name, found in times.items()}
    result["floor"] = matmul_floor(trainer, batches[0])
    result["epoch"] = result["ours"] * trainer.sampler.steps / 1e3
    result["examples"] = 1e3 * config.batch_size / result["ours"]
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="share of MSR-VTT's 9,000 videos (default 1)")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=8, help="steps a round")
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=list(ROWS))
    parser.add_argument(figures.OPTION, help=figures.HELP)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store.h5"
        videos = max(round(VIDEOS * options.scale), 2 * options.batch_size)
        make_store(path, videos, captions_each=CAPTIONS_PER_VIDEO)
        report(path, options)


def report(path: Path, options: argparse.Namespace) -> None:
    base = {"features": str(path), "batch_size": options.batch_size}
    device = torch.device(options.device)
    started = time.perf_counter()
    features = load_features(
        FeatureStore.open(path), TrainConfig(**base).strategies, protocol=None, device=device, subsets=("train",)
    )
    print(
        f"{len(features.video_ids):,} videos x {FRAMES} x {WIDTH}, {len(features.caption_ids):,} captions x "
        f"{len(STREAMS)} streams, batch {options.batch_size}, {options.threads} threads, {device}; "
        f"loaded in {time.perf_counter() - started:.1f} s"
    )
    heads = ("step", "plain way", "faster", "data", "floor", "step/floor", "epoch", "examples/s")
    print(f"{'':22}" + "".join(f"{head:>12}" for head in heads))
    for name in options.rows:
        found = measure(path, features, TrainConfig(**base | ROWS[name]), options.rounds, options.steps)
        cells = (
            f"{found['ours']:.1f} ms",
            f"{found['plain']:.1f} ms",
            f"{found['plain'] / found['ours']:.1f}x",
            f"{(found['gather'] + found['sampling']) / found['ours']:.1%}",
            f"{found['floor']:.1f} ms",
            f"{found['ours'] / found['floor']:.2f}x",
            f"{found['epoch']:.1f} s",
            f"{found['examples']:,.0f}",
        )
        print(f"{name:22}" + "".join(f"{cell:>12}" for cell in cells), flush=True)
        for figure in told(name, found):
            figures.tell(options.json, figure)


def told(name: str, found: dict[str, float]) -> list[Figure]:
    """The step against the plain way, and for attention against its own products."""
    ours, plain, floor = found["ours"], found["plain"], found["floor"]
    rows = [Figure(f"training step, {name}", ours, "ms", plain, plain / ours, least=LEAST_FASTER.get(name))]
    if name in MOST_OF_PRODUCTS:
        what = f"training step against its products, {name}"
        rows.append(Figure(what, ours, "ms", floor, ours / floor, most=MOST_OF_PRODUCTS[name]))
    return rows


if __name__ == "__main__":
    main()
