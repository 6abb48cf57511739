"""The demo's harder world: three objects in a row, two events one after the other, and look-alikes told by binding.

Clips come in *families* of five that show the same three objects on the same ground:

- `told`: A does one thing, then B does another;
- `later`: the same two events in the opposite order;
- `roles`: A does what B did, and B what A did;
- `colours`: A and B have swapped their colours;
- `mirror`: the row of objects is reversed, so that left is right.

Their captions use the same words, but for left and right: a model that ignores how words belong together, or what comes
first, has to guess among them. The third object does nothing.

The unordered pair of acting objects is what is held out: each pair of (shape, colour) belongs to one subset by a
constant seed, so that the built-in `tiny-hard` CLIP, which saw pairs of training only, fits every dataset made here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations, product

import numpy as np

from ..world import BACKGROUNDS, COLOURS, FRAMES_PER_SECOND, SHAPES, SUBSETS

MOTIONS = ("rise", "fall", "grow", "shrink", "appear", "vanish", "spin", "shake", "flash")
VARIANTS = ("told", "later", "roles", "colours", "mirror")
COLUMNS = ("left", "middle", "right")
SIZES = {
    "hard": {"train": 192, "val": 24, "test": 60},
    "hard-small": {"train": 6, "val": 2, "test": 4},
}
"""Families of each subset, by size of dataset."""

FRAME_COUNTS = (24, 32)
"""Fewest and most frames of a clip: 3 to 4 seconds, half of them for each event."""

_HELD_OUT_SEED = 20210910
_PAIR_SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}


@dataclass(frozen=True, order=True)
class Thing:
    """An object."""

    shape: str
    colour: str


@dataclass(frozen=True)
class Event:
    """`actor` is the place of a thing in the clip's `things`."""

    actor: int
    motion: str


@dataclass(frozen=True)
class HardClip:
    """One clip. `things` are A, B and the one at rest; `columns` says where each stands; `events` come in that order;
    `seed` draws everything that no caption tells (exact places, texture, speed)."""

    video_id: str
    subset: str
    variant: str
    background: str
    things: tuple[Thing, Thing, Thing]
    columns: tuple[str, str, str]
    events: tuple[Event, Event]
    frame_count: int
    seed: int

    @property
    def duration_seconds(self) -> float:
        return self.frame_count / FRAMES_PER_SECOND


@cache
def acting_pairs(subset: str) -> tuple[tuple[Thing, Thing], ...]:
    """Pairs of things, unlike in shape and in colour, that may act in clips of `subset`."""
    rng = np.random.default_rng(_HELD_OUT_SEED)
    things = [Thing(*each) for each in product(SHAPES, COLOURS)]
    pairs = [(a, b) for a, b in combinations(things, 2) if a.shape != b.shape and a.colour != b.colour]
    # A pair and the pair with its colours swapped are shown together, so they are held out together.
    bases = [pair for pair in pairs if pair <= _swapped(pair)]
    owners = rng.choice(SUBSETS, size=len(bases), p=[_PAIR_SHARES[name] for name in SUBSETS])
    return tuple(pair for pair, owner in zip(bases, owners, strict=True) if owner == subset)


def _swapped(pair: tuple[Thing, Thing]) -> tuple[Thing, Thing]:
    """The pair with its colours exchanged, in order."""
    a, b = sorted((Thing(pair[0].shape, pair[1].colour), Thing(pair[1].shape, pair[0].colour)))
    return a, b


def make_clips(size: str = "hard", seed: int = 0) -> list[HardClip]:
    """The clips of a dataset, training first, family by family; the same arguments give the same clips."""
    clips: list[HardClip] = []
    for number, subset in enumerate(SUBSETS):
        rng = np.random.default_rng([seed, number])
        pool = acting_pairs(subset)
        for index in rng.choice(len(pool), SIZES[size][subset], replace=False):
            clips += family(pool[index], subset, len(clips), rng)
    return clips


def family(pair: tuple[Thing, Thing], subset: str, first: int, rng: np.random.Generator) -> list[HardClip]:
    """The five clips of one family, numbered from `first`."""
    told = draw_clip(pair, subset, rng)
    a, b, _ = told.things
    early, late = told.events
    variants = {
        "told": told,
        "later": replace(told, events=(late, early)),
        "roles": replace(told, events=(Event(0, late.motion), Event(1, early.motion))),
        "colours": replace(told, things=(Thing(a.shape, b.colour), Thing(b.shape, a.colour), told.things[2])),
        "mirror": replace(told, columns=_mirrored(told.columns)),
    }
    return [
        replace(
            variants[variant],
            video_id=f"clip{first + place:04d}",
            variant=variant,
            frame_count=draw_frame_count(rng),
            seed=int(rng.integers(2**31)),
        )
        for place, variant in enumerate(VARIANTS)
    ]


def draw_clip(pair: tuple[Thing, Thing], subset: str, rng: np.random.Generator) -> HardClip:
    """A clip in which the things of `pair`, in either order, act one after the other."""
    a, b = (pair[int(place)] for place in rng.permutation(2))
    if rng.random() < 0.5:
        a, b = Thing(a.shape, b.colour), Thing(b.shape, a.colour)
    third = Thing(_other(SHAPES, {a.shape, b.shape}, rng), _other(COLOURS, {a.colour, b.colour}, rng))
    first, second = (str(motion) for motion in rng.choice(MOTIONS, 2, replace=False))
    columns = tuple(COLUMNS[int(place)] for place in rng.permutation(3))
    return HardClip(
        video_id="clip",
        subset=subset,
        variant="told",
        background=str(rng.choice(BACKGROUNDS)),
        things=(a, b, third),
        columns=(columns[0], columns[1], columns[2]),
        events=(Event(0, first), Event(1, second)),
        frame_count=draw_frame_count(rng),
        seed=int(rng.integers(2**31)),
    )


def draw_frame_count(rng: np.random.Generator) -> int:
    return int(rng.integers(FRAME_COUNTS[0], FRAME_COUNTS[1] + 1))


def _other(names: tuple[str, ...], taken: set[str], rng: np.random.Generator) -> str:
    return str(rng.choice([name for name in names if name not in taken]))


def _mirrored(columns: tuple[str, str, str]) -> tuple[str, str, str]:
    first, second, third = (COLUMNS[2 - COLUMNS.index(column)] for column in columns)
    return first, second, third


def binding_blind_ceiling(clips: Sequence[HardClip]) -> float:
    """Highest text-to-video R@1, in percent, that a model which knows only which words are said can expect.

    It may know everything that one object alone, one motion alone, the ground and the words left and right tell; among
    the clips of a family that agree in these it guesses.
    """

    def told(clip: HardClip) -> tuple[object, ...]:
        shapes, colours = ({getattr(thing, trait) for thing in clip.things} for trait in ("shape", "colour"))
        motions = {event.motion for event in clip.events}
        return clip.background, *(tuple(sorted(words)) for words in (shapes, colours, motions)), side(clip)

    alike = Counter(told(clip) for clip in clips)
    return 100.0 * sum(1.0 / alike[told(clip)] for clip in clips) / len(clips)


def side(clip: HardClip) -> str:
    """Where the second actor stands, seen from the first: `left` or `right`."""
    first, second = (COLUMNS.index(clip.columns[event.actor]) for event in clip.events)
    return "right" if second > first else "left"
