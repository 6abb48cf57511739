"""Precisions and batch sizes on this machine: the row of the table in `extract/precision.py`.

    python benchmarks/precision.py [--frames 64] [--rounds 3] [--clip FILE] [--device auto]

Frames/s of each precision at each batch size and texts/s of each precision, the median of rounds that take turns, and
the smallest cosine with fp32. Random weights cost what OpenAI's do; the cosines of real ones need `--clip`.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import click
import figures
import numpy as np
import torch
from camoe.extract.clip_encoder import ClipEncoder
from camoe.extract.precision import LEAST_COSINE, SMALL_PARAMETERS, Way, best_way, units_of
from figures import Figure
from random_clip import random_vit_b32

WORDS = "man woman dog cat is are running sitting over under green red house street water guitar"
GAIN = 1.05
"""A precision or a larger batch must be so much faster than what is exact, or smaller, to be chosen."""


def make_frames(count: int, side: int) -> np.ndarray:
    """Smooth pictures with some noise, each another one."""
    draw = np.random.default_rng(0)
    y, x = np.mgrid[0:side, 0:side] / side
    waves = draw.uniform(1, 9, (count, 3, 2))
    phase = draw.uniform(0, 6, (count, 3))
    pictures = [
        np.stack([np.sin(waves[i, c, 0] * x + waves[i, c, 1] * y + phase[i, c]) for c in range(3)], -1)
        for i in range(count)
    ]
    noisy = 128 + 100 * np.stack(pictures) + draw.normal(0, 15, (count, side, side, 3))
    return noisy.clip(0, 255).astype(np.uint8)


def make_texts(count: int) -> list[str]:
    draw = np.random.default_rng(0)
    return [" ".join(draw.choice(WORDS.split(), draw.integers(4, 14))) for _ in range(count)]


def encode_in_batches(encoder: ClipEncoder, frames: np.ndarray, size: int) -> torch.Tensor:
    return torch.cat([encoder.encode_frames(frames[start : start + size]) for start in range(0, len(frames), size)])


def seconds(work: object) -> tuple[float, torch.Tensor]:
    start = time.perf_counter()
    result = work()  # type: ignore[operator]
    return time.perf_counter() - start, result


@click.command()
@click.option("--frames", "count", default=64, show_default=True)
@click.option("--rounds", default=3, show_default=True)
@click.option("--batches", default="8,16,64", show_default=True)
@click.option("--clip", "weights", default=None, help="Weights file, or tiny; none: random ViT-B/32.")
@click.option("--device", default="auto", show_default=True)
@click.option(figures.OPTION, "json_file", default=None, help=figures.HELP)
def main(count: int, rounds: int, batches: str, weights: str | None, device: str, json_file: str | None) -> None:
    sizes = [int(size) for size in batches.split(",")]
    count = -(-count // max(sizes)) * max(sizes)
    with tempfile.TemporaryDirectory() as folder:
        weights = weights or str(random_vit_b32(Path(folder) / "vit-b-32.pt"))
        exact = ClipEncoder.load(weights, device, "fp32")
        names = ("fp32", "bf16", "fp16") if exact.device.type == "cuda" else ("fp32", "bf16")
        encoders = {name: exact if name == "fp32" else ClipEncoder.load(weights, device, name) for name in names}
    frames, texts = make_frames(count, exact.resolution), make_texts(count)
    for encoder in encoders.values():
        encoder.encode_frames(frames[: min(sizes)])
        encoder.encode_texts(texts[:8])

    taken: dict[tuple[str, object], list[float]] = defaultdict(list)
    cosine: dict[tuple[str, str], float] = {}
    for _ in range(rounds):
        of_frames: dict[str, torch.Tensor] = {}
        of_texts: dict[str, torch.Tensor] = {}
        for name, encoder in encoders.items():
            for size in sizes:
                spent, of_frames[name] = seconds(lambda e=encoder, s=size: encode_in_batches(e, frames, s))
                taken[name, size].append(spent)
            spent, of_texts[name] = seconds(lambda e=encoder: e.encode_texts(texts))
            taken[name, "text"].append(spent)
            for what, found in (("frames", of_frames), ("text", of_texts)):
                cosine[name, what] = float(torch.cosine_similarity(found[name], found["fp32"]).min())

    rate = {key: count / statistics.median(times) for key, times in taken.items()}
    parameters = sum(parameter.numel() for parameter in exact.model.parameters())
    units = units_of(exact.device.type)
    print(f"{weights and Path(weights).name}, {parameters / 1e6:.0f} million parameters, {exact.device}, {units}, "
          f"{torch.get_num_threads()} threads, {count} frames and texts, medians of {rounds}")  # fmt: skip
    print(f"{'':6}" + "".join(f"{f'{size} a batch':>14}" for size in sizes) + f"{'texts/s':>12}{'cosine, frames':>17}"
          f"{'text':>10}")  # fmt: skip
    for name in encoders:
        print(f"{name:6}" + "".join(f"{rate[name, size]:12.1f}/s" for size in sizes) + f"{rate[name, 'text']:12.1f}"
              f"{cosine[name, 'frames']:17.6f}{cosine[name, 'text']:10.6f}")  # fmt: skip
    row = Way(*chosen_way(rate, cosine, list(encoders), sizes))
    print(f"row for the table:  {'SMALL' if parameters < SMALL_PARAMETERS else units}: {row}")
    auto = best_way(units, parameters).precision
    for what, place, unit in ((f"frames, {sizes[-1]} a batch", sizes[-1], "frames/s"), ("texts", "text", "texts/s")):
        ours, plain = rate[auto, place], rate["fp32", place]
        figures.tell(json_file, Figure(f"{what}, auto ({auto}) beside fp32", ours, unit, plain, ours / plain))


def chosen_way(
    rate: dict[tuple[str, object], float], cosine: dict[tuple[str, str], float], names: list[str], sizes: list[int]
) -> tuple[str, int]:
    """The fastest precision near enough to fp32, and the smallest batch that is about as fast as any."""
    near = [name for name in names if min(cosine[name, "frames"], cosine[name, "text"]) >= LEAST_COSINE]
    best = {name: max(rate[name, size] for size in sizes) for name in near}
    precision = max(near, key=lambda name: best[name] / (1 if name == "fp32" else GAIN))
    return precision, min(size for size in sizes if rate[precision, size] * GAIN >= best[precision])


if __name__ == "__main__":
    main()
