"""Trains the built-in `tiny` CLIP on stills of the demo's world and saves it as an OpenAI-format state dict.

    python -m camoe.extract.tiny.train --out tiny.pt --seed 0

The network is OpenAI's `clip.model.CLIP` at its smallest: only about a hundred token ids occur, so it learns a compact
embedding that is scattered into the 49,408 rows of CLIP's vocabulary when it is saved.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from clip.model import CLIP
from torch import Tensor, nn
from torch.nn import functional

from . import hard_stills, stills
from .forward import encode_kept, encode_pictures
from .lesson import RESOLUTION, Lesson, draw_stills
from .sentences import END, Sentences, drop_words, tokenise

CONTEXT_LENGTH, VOCABULARY_SIZE = 77, END + 1
PIXEL_MEAN = (0.48145466, 0.4578275, 0.40821073)
PIXEL_STD = (0.26862954, 0.26130258, 0.27577711)
LESSONS: dict[str, Lesson] = {"plain": stills.LESSON, "hard": hard_stills.LESSON}
"""By world."""


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights, apart from the number of threads."""

    stills: int = 40_000
    steps: int = 2000
    batch: int = 256
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.05
    warmup: int = 100
    embed_dim: int = 128
    vision_layers: int = 4
    vision_width: int = 128
    patch: int = 16
    text_width: int = 64
    text_layers: int = 2
    fact_weight: float = 0.5
    seed: int = 0


def build_network(recipe: Recipe, vocabulary: int, length: int) -> CLIP:
    """OpenAI's network with a vocabulary and context only as large as the demo's captions need."""
    torch.manual_seed(recipe.seed)
    network = CLIP(
        embed_dim=recipe.embed_dim,
        image_resolution=RESOLUTION,
        vision_layers=recipe.vision_layers,
        vision_width=recipe.vision_width,
        vision_patch_size=recipe.patch,
        context_length=length,
        vocab_size=vocabulary,
        transformer_width=recipe.text_width,
        transformer_heads=recipe.text_width // 64,
        transformer_layers=recipe.text_layers,
    )
    return network


def to_pixels(frames: Tensor) -> Tensor:
    """uint8 (B, 64, 64, 3) to CLIP's normalised float32 (B, 3, 64, 64)."""
    mean, std = torch.tensor(PIXEL_MEAN), torch.tensor(PIXEL_STD)
    return ((frames.float() / 255 - mean) / std).permute(0, 3, 1, 2).contiguous()


def draw_batches(
    recipe: Recipe, sentences: Sentences, per_still: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Endless (still indices, compact ids, positions); each epoch shows every still once, with a caption by chance."""
    rng = np.random.default_rng([recipe.seed, 1])
    while True:
        order = rng.permutation(recipe.stills)
        for start in range(0, recipe.stills - recipe.batch + 1, recipe.batch):
            picked = order[start : start + recipe.batch]
            rows = picked * per_still + rng.integers(0, per_still, len(picked))
            yield picked, *drop_words(sentences.ids[rows], sentences.kind[rows], sentences.word[rows], rng)


def learning_rate_at(step: int, recipe: Recipe) -> float:
    """Share of the top learning rate: linear warm-up, then half a cosine down to zero."""
    if step < recipe.warmup:
        return (step + 1) / recipe.warmup
    return 0.5 * (1 + math.cos(math.pi * (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)))


def train(recipe: Recipe, lesson: Lesson, out: Path, *, workers: int, bf16: bool, save_every: int = 500) -> None:
    """Draws the stills, trains, and saves to `out` every `save_every` steps and at the end."""
    started, dtype = time.monotonic(), torch.bfloat16 if bf16 else torch.float32
    pixels, captions, facts = draw_stills(lesson, recipe.stills, recipe.seed, workers)
    per_still = len(captions[0])
    sentences = tokenise([caption for said in captions for caption in said], lesson.length)
    network = build_network(recipe, len(sentences.vocabulary), lesson.length)
    known, head = (
        torch.from_numpy(facts),
        nn.Linear(recipe.embed_dim, sum(lesson.fact_classes) + lesson.fact_measures),
    )
    trained = [*network.parameters(), *head.parameters()]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in trained if p.ndim >= 2]},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, recipe.learning_rate, weight_decay=recipe.weight_decay, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: learning_rate_at(step, recipe))
    print(f"{recipe}\n{recipe.stills} stills drawn in {time.monotonic() - started:.0f} s", flush=True)
    frames, batches = torch.from_numpy(pixels), draw_batches(recipe, sentences, per_still)
    for step in range(1, recipe.steps + 1):
        picked, ids, positions = (torch.from_numpy(part) for part in next(batches))
        seen = encode_pictures(network, jitter(to_pixels(frames[picked])), dtype)
        said = encode_kept(network, ids, positions, dtype)
        contrasted, hits = contrast(network, seen.float(), said.float())
        told = tell_facts(
            head(functional.normalize(seen.float(), dim=1) * recipe.embed_dim**0.5), known[picked], lesson
        )
        loss = contrasted + recipe.fact_weight * told
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            network.logit_scale.clamp_(max=math.log(100.0))
        if step % 50 == 0:
            took = time.monotonic() - started
            scale = network.logit_scale.exp().item()
            losses = f"loss {contrasted.item():.3f} facts {told.item():.3f}"
            print(f"{step} {took:.0f} s {losses} hits {hits:.3f} scale {scale:.1f}", flush=True)
        if step % save_every == 0 or step == recipe.steps:
            save(export(network, sentences.vocabulary), out)


def jitter(pixels: Tensor) -> Tensor:
    """A little random brightness for each picture."""
    return pixels + 0.08 * torch.randn(len(pixels), 1, 1, 1)


def contrast(network: CLIP, seen: Tensor, said: Tensor) -> tuple[Tensor, float]:
    """CLIP's symmetric cross-entropy over the batch, and the share of texts whose still came first."""
    logits = network.logit_scale.exp() * functional.normalize(said, dim=1) @ functional.normalize(seen, dim=1).T
    target = torch.arange(len(logits))
    loss = (functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)) / 2
    return loss, (logits.argmax(dim=1) == target).float().mean().item()


def tell_facts(answers: Tensor, facts: Tensor, lesson: Lesson) -> Tensor:
    """Loss of the side task: one linear layer reads a still's facts (the lesson's) from its embedding."""
    *classes, measures = answers.split([*lesson.fact_classes, lesson.fact_measures], dim=1)
    losses = [functional.cross_entropy(each, facts[:, i].long()) for i, each in enumerate(classes)]
    return torch.stack(losses).sum() + 4 * functional.mse_loss(measures, facts[:, len(classes) :])


def export(network: CLIP, vocabulary: np.ndarray) -> dict[str, Tensor]:
    """The OpenAI-format state dict in fp16: full vocabulary and context, unused rows zero."""
    state = {name: value.detach().clone() for name, value in network.state_dict().items()}
    embedding = torch.zeros(VOCABULARY_SIZE, network.token_embedding.embedding_dim)
    embedding[torch.from_numpy(vocabulary)] = state["token_embedding.weight"]
    state["token_embedding.weight"] = embedding
    state["positional_embedding"] = functional.pad(
        state["positional_embedding"], (0, 0, 0, CONTEXT_LENGTH - network.context_length)
    )
    state = {name: value.half() for name, value in state.items()}
    sizes = {"input_resolution": RESOLUTION, "context_length": CONTEXT_LENGTH, "vocab_size": VOCABULARY_SIZE}
    return state | {name: torch.tensor(value) for name, value in sizes.items()}


def save(state: dict[str, Tensor], out: Path) -> None:
    """Writes beside `out`, then renames."""
    aside = out.with_name(f"{out.name}.tmp.{os.getpid()}")
    torch.save(state, aside)
    aside.replace(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="file to write, such as tiny.pt")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes that draw stills")
    parser.add_argument("--threads", type=int, default=1, help="threads of the training itself")
    parser.add_argument("--bf16", action="store_true", help="bfloat16 autocast, faster on CPUs with AMX")
    parser.add_argument("--world", choices=LESSONS, default="plain", help="which clips it is to know")
    for name, default in vars(Recipe()).items():
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, type=type(default), default=default, help=f"default {default}")
    options = vars(parser.parse_args())
    out, workers, bf16 = options.pop("out"), options.pop("workers"), options.pop("bf16")
    lesson = LESSONS[options.pop("world")]
    torch.set_num_threads(options.pop("threads"))
    train(Recipe(**options), lesson, out, workers=workers, bf16=bf16)


if __name__ == "__main__":
    main()
