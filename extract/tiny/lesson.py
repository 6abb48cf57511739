"""What a built-in CLIP is taught: stills of a world, what is said of each, and facts that a side task reads from it."""

from __future__ import annotations

import io
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import Image

RESOLUTION = 64


@dataclass(frozen=True)
class Lesson:
    """`draw_still(number, seed)` gives pixels (64, 64, 3) uint8, captions, and facts.

    The facts are a class of each of `fact_classes` (how many there are), then `fact_measures` measures, about -1 to 1.
    `length` bounds the tokens of a caption, start and end included.
    """

    draw_still: Callable[[int, int], tuple[np.ndarray, list[str], list[float]]]
    length: int
    fact_classes: tuple[int, ...]
    fact_measures: int


def draw_stills(lesson: Lesson, count: int, seed: int, workers: int) -> tuple[np.ndarray, list[list[str]], np.ndarray]:
    """Stills 0 to `count` - 1: pixels (count, 64, 64, 3) uint8, captions and facts of each."""
    with ProcessPoolExecutor(workers) as pool:
        drawn = pool.map(partial(_draw, lesson, seed), range(count), chunksize=256)
        pixels = np.empty((count, RESOLUTION, RESOLUTION, 3), np.uint8)
        captions: list[list[str]] = []
        facts = np.empty((count, len(lesson.fact_classes) + lesson.fact_measures), np.float32)
        for i, (still, said, known) in enumerate(drawn):
            pixels[i], facts[i] = still, known
            captions.append(said)
    return pixels, captions, facts


def _draw(lesson: Lesson, seed: int, number: int) -> tuple[np.ndarray, list[str], list[float]]:
    return lesson.draw_still(number, seed)


def as_decoded(frame: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The frame as it would come out of a lossy video at CLIP's size: JPEG stands in for H.264."""
    coded = io.BytesIO()
    Image.fromarray(frame).save(coded, "JPEG", quality=int(rng.integers(70, 96)), subsampling=2)
    return np.asarray(Image.open(coded).resize((RESOLUTION, RESOLUTION), Image.Resampling.BICUBIC))
