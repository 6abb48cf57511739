"""Text tower: our trees of distinct beginnings, without padding, against `clip.encode_text` on padded ones.

    python benchmarks/text_encoding.py --captions FILE [--count 2000]

FILE is MSVD's JSON ({id: [sentence, …]}) or a text file of one sentence a line.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

import click
import figures
import torch
from camoe.extract.clip_encoder import ClipEncoder
from camoe.extract.clip_weights import clip_package
from figures import Figure
from random_clip import random_vit_b32

PLAIN_BATCH = 64
LEAST_FASTER = {"fp32": 12.0, "bf16": 20.0}
"""Our aims, in times the plain way's speed."""


def read_captions(path: Path, count: int) -> list[str]:
    if path.suffix == ".json":
        captions = [text for texts in json.loads(path.read_text()).values() for text in texts]
    else:
        captions = path.read_text().splitlines()
    step = max(1, len(captions) // count)
    return captions[::step][:count]


@torch.inference_mode()
def encode_plainly(encoder: ClipEncoder, captions: list[str]) -> torch.Tensor:
    parts = []
    for start in range(0, len(captions), PLAIN_BATCH):
        tokens = clip_package().tokenize(captions[start : start + PLAIN_BATCH], truncate=True)
        parts.append(encoder.model.encode_text(tokens.to(encoder.device)).float().cpu())
    return torch.cat(parts)


@click.command()
@click.option("--captions", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--count", default=2000, show_default=True)
@click.option("--clip", "weights", default=None, help="Weights file; none: random ViT-B/32.")
@click.option("--device", default="auto")
@click.option(figures.OPTION, "json_file", default=None, help=figures.HELP)
def main(captions: Path, count: int, weights: str | None, device: str, json_file: str | None) -> None:
    texts = read_captions(captions, count)
    with tempfile.TemporaryDirectory() as folder:
        weights = weights or str(random_vit_b32(Path(folder) / "vit-b-32.pt"))
        encoder = ClipEncoder.load(weights, device, "fp32")
        low = ClipEncoder.load(weights, device, "fp16" if encoder.device.type == "cuda" else "bf16")
    for warm in (encoder, low):
        warm.encode_texts(texts[:PLAIN_BATCH])
    encode_plainly(encoder, texts[:PLAIN_BATCH])

    timed: dict[str, tuple[float, torch.Tensor]] = {}
    for name, encode in (
        ("clip.encode_text, fp32", lambda: encode_plainly(encoder, texts)),
        ("camoe, fp32", lambda: encoder.encode_texts(texts)),
        (f"camoe, {low.precision}", lambda: low.encode_texts(texts)),
    ):
        start = time.perf_counter()
        result = encode()
        timed[name] = (time.perf_counter() - start, result)
    seconds, plain = timed["clip.encode_text, fp32"]
    print(f"{len(texts)} captions, {len(set(texts))} distinct, {encoder.device}, {torch.get_num_threads()} threads")
    print(f"{'':24}{'captions/s':>12}{'ratio':>8}{'largest difference':>20}{'smallest cosine':>17}")
    for name, (taken, result) in timed.items():
        cosine = torch.cosine_similarity(result, plain).min()
        rate, difference = len(texts) / taken, (result - plain).abs().max()
        print(f"{name:24}{rate:12.1f}{seconds / taken:8.2f}{difference:20.1e}{cosine:17.6f}")
        if result is not plain:
            aim = LEAST_FASTER.get(name.split()[-1])
            what = f"{len(texts):,} captions, {name}"
            figures.tell(json_file, Figure(what, rate, "captions/s", len(texts) / seconds, seconds / taken, least=aim))


if __name__ == "__main__":
    main()
