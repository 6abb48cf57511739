"""Videos to embeddings: the pipeline against the plain way and against the sum of its parts.

    python benchmarks/video_extraction.py --videos DIR [--copies 4] [--repeats 5]

Every video below DIR is taken `--copies` times (by links). The plain way is one video after another: OpenCV decodes,
Pillow resizes and crops, one fp32 batch a video. The floor is (decode CPU time + encode CPU time) / cores. What the
encoder alone computes, counted by PyTorch, is also shown as a share of the machine's matrix rate: that of the products
of all its layers, by themselves, in the same sizes, precision and threads.
"""

from __future__ import annotations

import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import cv2
import figures
import numpy as np
import torch
from camoe.extract.clip_encoder import ClipEncoder
from camoe.extract.clip_weights import clip_package
from camoe.extract.config import ExtractConfig
from camoe.extract.ffmpeg import inspect_binary
from camoe.extract.files import find_videos
from camoe.extract.run import extract
from camoe.extract.side_by_side import side_by_side
from camoe.extract.video import Decoder
from camoe.pipeline.ffmpeg_binary import find_ffmpeg
from figures import Figure
from PIL import Image
from random_clip import random_vit_b32
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

MOST_OF_FLOOR = 1.1
"""Our aim for the pipeline."""


def link_copies(videos: Path, folder: Path, copies: int) -> list[Path]:
    links = []
    for file in find_videos(videos):
        for copy in range(copies):
            link = folder / f"{file.id.replace('/', '_')}-{copy}{file.path.suffix}"
            link.symlink_to(file.path.resolve())
            links.append(link)
    return links


def cpu_seconds() -> float:
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    )


def measure(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU seconds."""
    wall, cpu = time.perf_counter(), cpu_seconds()
    work()
    return time.perf_counter() - wall, cpu_seconds() - cpu


@torch.inference_mode()
def plain_way(encoder: ClipEncoder, paths: list[Path]) -> int:
    transform = clip_package().clip._transform(encoder.resolution)
    done = 0
    for path in paths:
        capture = cv2.VideoCapture(str(path))
        rate = capture.get(cv2.CAP_PROP_FPS)
        frames, number = [], 0
        while capture.grab():
            if number >= round(len(frames) * rate):
                _, frame = capture.retrieve()
                frames.append(Image.fromarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)))
            number += 1
        kept = [frames[i] for i in np.linspace(0, len(frames) - 1, min(12, len(frames)), dtype=int)]
        encoder.model.encode_image(torch.stack([transform(frame) for frame in kept]).to(encoder.device))
        done += len(kept)
    return done


@torch.inference_mode()
def operations(encoder: ClipEncoder) -> int:
    """Floating point operations of one frame, a multiplication and an addition counted as two.

    PyTorch counts none for the attention of a CPU, which has one in a hundred of ViT-B/32's.
    """
    pixels = torch.zeros(1, 3, encoder.resolution, encoder.resolution, device=encoder.device)
    with FlopCounterMode(display=False) as counter:
        encoder.model.encode_image(pixels)
    return counter.get_total_flops()


def matrix_rate(encoder: ClipEncoder, batch: int, repeats: int) -> float:
    """Operations a second of the layers' products alone, the median of several passes over all layers."""
    visual = encoder.model.visual
    layers = [
        (block.attn.in_proj_weight, block.attn.out_proj.weight, block.mlp.c_fc.weight, block.mlp.c_proj.weight)
        for block in visual.transformer.resblocks
    ]
    tokens = len(visual.positional_embedding)
    given = {
        weight.shape[1]: torch.randn(batch * tokens, weight.shape[1]).to(weight.device, weight.dtype)
        for layer in layers
        for weight in layer
    }

    @torch.inference_mode()
    def multiply(part: torch.Tensor) -> torch.Tensor:
        for layer in layers:
            for weight in layer:
                F.linear(given[weight.shape[1]][: len(part) * tokens], weight)
        return part

    def once() -> None:
        frames = torch.empty(batch)
        _ = side_by_side(multiply, frames) if encoder.device.type == "cpu" else multiply(frames)
        if encoder.device.type == "cuda":
            torch.cuda.synchronize()

    once()
    seconds = statistics.median(measure(once)[0] for _ in range(repeats))
    return 2 * batch * tokens * sum(weight.numel() for layer in layers for weight in layer) / seconds


@click.command()
@click.option("--videos", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--copies", default=4, show_default=True)
@click.option("--repeats", default=5, show_default=True)
@click.option("--clip", "weights", default=None, help="Weights file; none: random ViT-B/32.")
@click.option("--precision", default="auto", show_default=True)
@click.option("--device", default="auto", show_default=True)
@click.option("--workers", default=None, type=int)
@click.option(figures.OPTION, "json_file", default=None, help=figures.HELP)
def main(
    videos: Path,
    copies: int,
    repeats: int,
    weights: str | None,
    precision: str,
    device: str,
    workers: int | None,
    json_file: str | None,
) -> None:
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        weights = weights or str(random_vit_b32(folder / "vit-b-32.pt"))
        (folder / "videos").mkdir()
        paths = link_copies(videos, folder / "videos", copies)
        encoder = ClipEncoder.load(weights, device, precision)
        plain = ClipEncoder.load(weights, device, "fp32")
        decoder = Decoder(inspect_binary(find_ffmpeg()), encoder.resolution, 1.0, 12, "uniform")
        frames = sum(len(decoder.decode(path).frames) for path in paths)
        batch = np.zeros((encoder.batch_size, encoder.resolution, encoder.resolution, 3), np.uint8)
        encoder.encode_frames(batch)
        plain.encode_frames(batch)

        batches = -(-frames // len(batch))
        rows, rates = [], []
        for repeat in range(repeats):
            _, decode_cpu = measure(lambda: [decoder.decode(path) for path in paths])
            encode_wall, encode_cpu = measure(lambda: [encoder.encode_frames(batch) for _ in range(batches)])
            rates.append(matrix_rate(encoder, len(batch), 3))
            run_wall = time_extraction(folder, repeat, weights, precision, device, workers)
            plain_wall, _ = measure(lambda: plain_way(plain, paths))
            floor = (decode_cpu + encode_cpu) / cores
            rows.append((run_wall, floor, plain_wall, decode_cpu, encode_wall))
        run_wall, floor, plain_wall, decode_cpu, encode_wall = (
            statistics.median(part) for part in zip(*rows, strict=True)
        )
    matrix = statistics.median(rates)
    rate = batches * len(batch) * operations(encoder) / encode_wall
    print(
        f"{len(paths)} videos, {frames} frames, {cores} cores, {encoder.device}, {encoder.precision}, "
        f"ffmpeg {decoder.binary.version}, medians of {repeats}"
    )
    print(f"decode CPU                    {decode_cpu:8.2f} s")
    print(f"encode alone                  {encode_wall:8.2f} s   {frames / encode_wall:8.1f} frames/s")
    print(f"  of the machine's matrix rate  {rate / matrix:6.0%}     {rate / 1e9:,.0f} of {matrix / 1e9:,.0f} GFLOP/s")
    print(f"floor (decode+encode)/cores   {floor:8.2f} s")
    print(f"pipeline                      {run_wall:8.2f} s   {frames / run_wall:8.1f} frames/s")
    print(f"plain way, fp32               {plain_wall:8.2f} s   {frames / plain_wall:8.1f} frames/s")
    over, faster = (statistics.median(pair) for pair in zip(*((a / b, c / a) for a, b, c, *_ in rows), strict=True))
    print(f"pipeline / floor {over:.2f}   plain / pipeline {faster:.2f}")
    what = f"{len(paths)} videos, {encoder.precision}"
    for figure in (
        Figure(f"{what}, pipeline beside the floor", run_wall, "s", floor, over, most=MOST_OF_FLOOR),
        Figure(f"{what}, pipeline beside fp32 one by one", frames / run_wall, "frames/s", frames / plain_wall, faster),
        Figure(
            f"encoder alone, {encoder.precision}, of the matrix rate",
            rate / 1e9,
            "GFLOP/s",
            matrix / 1e9,
            rate / matrix,
        ),
    ):
        figures.tell(json_file, figure)


def time_extraction(folder: Path, repeat: int, weights: str, precision: str, device: str, workers: int | None) -> float:
    """Seconds from the first video to the published store, without loading the model."""
    clock: dict[str, float] = {}
    config = ExtractConfig(
        videos=folder / "videos", out=folder / f"store-{repeat}.h5", clip=weights, precision=precision, device=device,
        workers=workers,
    )  # fmt: skip

    class Stopwatch:
        def __enter__(self) -> Callable[[object], None]:
            clock["start"] = time.perf_counter()
            return lambda _: None

        def __exit__(self, *_: object) -> None:
            return None

    class Progress:
        def videos(self, total: int) -> Stopwatch:
            return Stopwatch()

        def captions(self, total: int) -> Stopwatch:
            return Stopwatch()

        def note(self, line: str) -> None:
            return None

    extract(config, Progress())  # type: ignore[arg-type]
    return time.perf_counter() - clock["start"]


if __name__ == "__main__":
    main()
