"""The demo's procedural world: what can be seen in a clip, and which combinations each subset holds.

A *combination* is (shape, colour, background, motion). Combinations are held out by a constant seed, so that the
built-in `tiny` CLIP, which saw training combinations only, fits every dataset made here, whatever its seed. Mirrored
motions (`MIRROR`) of one shape, colour and background are held out together and always come as a pair of clips that
differ in nothing a caption says: only the order of their frames tells them apart.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np

SHAPES = ("circle", "square", "triangle", "star", "cross", "ring", "heart", "moon")
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "black")
BACKGROUNDS = ("sand", "grass", "water", "snow")
MIRRORED_MOTIONS = (("left", "right"), ("rise", "fall"), ("grow", "shrink"), ("appear", "vanish"))
SINGLE_MOTIONS = ("spin", "bounce", "shake", "flash")
MOTIONS = tuple(motion for pair in MIRRORED_MOTIONS for motion in pair) + SINGLE_MOTIONS
MIRROR = {a: b for pair in MIRRORED_MOTIONS for a, b in (pair, pair[::-1])}

SUBSETS = ("train", "val", "test")
HELD_OUT_GROUPS = {"test": (96, 48), "val": (48, 24)}
"""Of each held-out subset: mirrored pairs, single combinations. Training has all the rest."""
SIZES: dict[str, dict[str, tuple[int, int]]] = {
    "default": {"train": (384, 192), **HELD_OUT_GROUPS},
    "small": {"train": (12, 12), "val": (4, 4), "test": (6, 4)},
    "few": {"train": (3, 2), "val": (1, 1), "test": (2, 2)},
}
"""Of each size of dataset: mirrored pairs and single combinations of each subset."""

FRAMES_PER_SECOND = 8
FRAME_COUNTS = (16, 24)
"""Fewest and most frames of a clip: 2 to 3 seconds."""

_HELD_OUT_SEED = 20210909
_PAIR_SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}
_TWO_OBJECTS_SHARE = 0.2


@dataclass(frozen=True, order=True)
class Combination:
    shape: str
    colour: str
    background: str
    motion: str


@dataclass(frozen=True)
class Clip:
    """One clip. `other` is the second object (shape, colour) at rest, if any; `size` small, medium or large;
    `seed` draws everything that no caption tells (place, speed, texture)."""

    video_id: str
    subset: str
    combination: Combination
    size: str
    other: tuple[str, str] | None
    frame_count: int
    seed: int

    @property
    def duration_seconds(self) -> float:
        return self.frame_count / FRAMES_PER_SECOND


@cache
def held_out_groups() -> dict[str, dict[str, tuple[tuple[Combination, ...], ...]]]:
    """By subset, the `pairs` and `singles` that belong to it; the same in every dataset."""
    rng = np.random.default_rng(_HELD_OUT_SEED)
    pools: dict[str, dict[str, tuple[tuple[Combination, ...], ...]]] = {subset: {} for subset in SUBSETS}
    kinds = {"pairs": MIRRORED_MOTIONS, "singles": tuple((motion,) for motion in SINGLE_MOTIONS)}
    for kind, (name, motion_groups) in enumerate(kinds.items()):
        groups = [
            tuple(Combination(*place, motion) for motion in motions)
            for place in product(SHAPES, COLOURS, BACKGROUNDS)
            for motions in motion_groups
        ]
        shuffled = [groups[i] for i in rng.permutation(len(groups))]
        start = 0
        for subset, counts in HELD_OUT_GROUPS.items():
            pools[subset][name] = tuple(shuffled[start : start + counts[kind]])
            start += counts[kind]
        pools["train"][name] = tuple(shuffled[start:])
    return pools


@cache
def combinations_of(subset: str) -> tuple[Combination, ...]:
    """Every combination that clips of `subset` may show, whatever the size of the dataset."""
    return tuple(c for groups in held_out_groups()[subset].values() for group in groups for c in group)


@cache
def other_objects(subset: str) -> dict[tuple[str, str], tuple[tuple[str, str], ...]]:
    """For each object, those that may rest beside it in `subset`: an unordered pair belongs to one subset."""
    rng = np.random.default_rng(_HELD_OUT_SEED + 1)
    objects = tuple(product(SHAPES, COLOURS))
    partners: dict[tuple[str, str], list[tuple[str, str]]] = {each: [] for each in objects}
    for i, first in enumerate(objects):
        for second in objects[i + 1 :]:
            owner = rng.choice(SUBSETS, p=[_PAIR_SHARES[name] for name in SUBSETS])
            if owner == subset and first[0] != second[0] and first[1] != second[1]:
                partners[first].append(second)
                partners[second].append(first)
    return {each: tuple(found) for each, found in partners.items()}


def make_clips(size: str = "default", seed: int = 0) -> list[Clip]:
    """The clips of a dataset of one of `SIZES`, training first; the same arguments give the same clips."""
    clips: list[Clip] = []
    for number, subset in enumerate(SUBSETS):
        rng = np.random.default_rng([seed, number])
        for name, count in zip(("pairs", "singles"), SIZES[size][subset], strict=True):
            pool = held_out_groups()[subset][name]
            for index in rng.choice(len(pool), count, replace=False):
                clips += _clips_of_group(pool[index], subset, len(clips), rng)
    return clips


def _clips_of_group(group: tuple[Combination, ...], subset: str, first: int, rng: np.random.Generator) -> list[Clip]:
    """One clip for each combination of the group, alike in everything that a caption may tell."""
    size, other = draw_size_and_other(group[0], subset, rng)
    return [
        Clip(
            video_id=f"clip{first + i:04d}",
            subset=subset,
            combination=combination,
            size=size,
            other=other,
            frame_count=int(rng.integers(FRAME_COUNTS[0], FRAME_COUNTS[1] + 1)),
            seed=int(rng.integers(2**31)),
        )
        for i, combination in enumerate(group)
    ]


def draw_size_and_other(
    combination: Combination, subset: str, rng: np.random.Generator
) -> tuple[str, tuple[str, str] | None]:
    """A random size and, sometimes, a second object that `subset` may show beside this one."""
    size = str(rng.choice(("small", "medium", "large")))
    partners = other_objects(subset)[combination.shape, combination.colour]
    if not partners or rng.random() >= _TWO_OBJECTS_SHARE:
        return size, None
    return size, partners[int(rng.integers(len(partners)))]


def direction_blind_ceiling(clips: list[Clip]) -> float:
    """Highest text-to-video R@1, in percent, that a model blind to the order of frames can expect on these clips.

    Such a model may know everything else, but among clips that differ only by mirrored motion it guesses.
    """

    def seen(clip: Clip) -> tuple[object, ...]:
        what = clip.combination
        motion = min(what.motion, MIRROR.get(what.motion, what.motion))
        return what.shape, what.colour, what.background, motion, clip.size, clip.other

    alike = Counter(seen(clip) for clip in clips)
    return 100.0 * sum(1.0 / alike[seen(clip)] for clip in clips) / len(clips)
