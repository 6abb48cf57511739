"""Videos to embeddings: the pipeline against the plain way and against the sum of its parts.

    python benchmarks/video_extraction.py --videos DIR [--copies 4] [--repeats 5]

Every video below DIR is taken `--copies` times (by links). The plain way is one video after another: OpenCV decodes,
Pillow resizes and crops, one fp32 batch a video. The floor is (decode CPU time + encode CPU time) / cores.
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
import numpy as np
import torch
from camoe.extract.clip_encoder import ClipEncoder
from camoe.extract.clip_weights import clip_package
from camoe.extract.config import ExtractConfig
from camoe.extract.ffmpeg import inspect_binary
from camoe.extract.files import find_videos
from camoe.extract.run import extract
from camoe.extract.video import Decoder
from camoe.pipeline.ffmpeg_binary import find_ffmpeg
from PIL import Image
from random_clip import random_vit_b32

BATCH = 64


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


@click.command()
@click.option("--videos", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--copies", default=4, show_default=True)
@click.option("--repeats", default=5, show_default=True)
@click.option("--clip", "weights", default=None, help="Weights file; none: random ViT-B/32.")
@click.option("--precision", default="auto", show_default=True)
@click.option("--device", default="auto", show_default=True)
@click.option("--workers", default=None, type=int)
def main(
    videos: Path, copies: int, repeats: int, weights: str | None, precision: str, device: str, workers: int | None
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
        batch = np.zeros((BATCH, encoder.resolution, encoder.resolution, 3), np.uint8)
        encoder.encode_frames(batch)
        plain.encode_frames(batch)

        rows = []
        for repeat in range(repeats):
            _, decode_cpu = measure(lambda: [decoder.decode(path) for path in paths])
            encode_wall, encode_cpu = measure(
                lambda: [encoder.encode_frames(batch) for _ in range(-(-frames // BATCH))]
            )
            run_wall = time_extraction(folder, repeat, weights, precision, device, workers)
            plain_wall, _ = measure(lambda: plain_way(plain, paths))
            floor = (decode_cpu + encode_cpu) / cores
            rows.append((run_wall, floor, plain_wall, decode_cpu, encode_wall))
        run_wall, floor, plain_wall, decode_cpu, encode_wall = (
            statistics.median(part) for part in zip(*rows, strict=True)
        )
    print(
        f"{len(paths)} videos, {frames} frames, {cores} cores, {encoder.device}, {encoder.precision}, "
        f"ffmpeg {decoder.binary.version}, medians of {repeats}"
    )
    print(f"decode CPU                    {decode_cpu:8.2f} s")
    print(f"encode alone                  {encode_wall:8.2f} s   {frames / encode_wall:8.1f} frames/s")
    print(f"floor (decode+encode)/cores   {floor:8.2f} s")
    print(f"pipeline                      {run_wall:8.2f} s   {frames / run_wall:8.1f} frames/s")
    print(f"plain way, fp32               {plain_wall:8.2f} s   {frames / plain_wall:8.1f} frames/s")
    print(f"pipeline / floor {statistics.median(row[0] / row[1] for row in rows):.2f}   "
          f"plain / pipeline {statistics.median(row[2] / row[0] for row in rows):.2f}")  # fmt: skip


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
