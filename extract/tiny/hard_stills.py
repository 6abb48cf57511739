"""The stills that teach the `tiny-hard` CLIP: single frames of clips whose acting pairs belong to training.

A still is captioned as its whole clip would be, or by what it alone shows: what stands where, high or low, how large,
how faint. The second kind ties words to places in the picture, one object at a time and in pairs.
"""

from __future__ import annotations

import numpy as np

from ...pipeline.demo.captions import PLACES, noun_phrase
from ...pipeline.demo.hard.captions import TEMPLATES, describe
from ...pipeline.demo.hard.render import draw_scene, poses
from ...pipeline.demo.hard.world import BACKGROUNDS, COLOURS, COLUMNS, SHAPES, HardClip, acting_pairs, draw_clip
from ...pipeline.demo.render import Pose
from .lesson import Lesson, as_decoded
from .stills import CAPTIONS_PER_STILL

CLIP_SHARE = 0.5
"""Share of the stills captioned as their whole clip would be."""

_WORDS_OF_COLUMN = {"left": "to the left", "middle": "in the middle", "right": "to the right"}
_EDGE = 0.22


def draw_still(number: int, seed: int) -> tuple[np.ndarray, list[str], list[float]]:
    """Still `number` of the training set: pixels (64, 64, 3) uint8, its captions and `facts_of` it."""
    rng = np.random.default_rng([seed, number])
    pool = acting_pairs("train")
    clip = draw_clip(pool[int(rng.integers(len(pool)))], "train", rng)
    time = float(rng.random())
    if rng.random() < CLIP_SHARE:
        captions = [describe(clip, int(rng.integers(len(TEMPLATES))), rng) for _ in range(CAPTIONS_PER_STILL)]
    else:
        captions = [describe_still(clip, time, rng) for _ in range(CAPTIONS_PER_STILL)]
    return as_decoded(draw_scene(clip, [time])[0], rng), captions, facts_of(clip, time)


def facts_of(clip: HardClip, time: float) -> list[float]:
    """Ground, then of each column its shape and colour; measures of each column's pose."""
    pose_at = poses(clip)
    classes, measures = [BACKGROUNDS.index(clip.background)], []
    for column in COLUMNS:
        place = clip.columns.index(column)
        thing, pose = clip.things[place], pose_at[place](time)
        classes += [SHAPES.index(thing.shape), COLOURS.index(thing.colour)]
        measures += [2 * pose.y, 4 * (pose.radius - 0.3), 2 * pose.opacity - 1, pose.glow]
    return [*map(float, classes), *measures]


def describe_still(clip: HardClip, time: float, rng: np.random.Generator) -> str:
    """A caption of one moment, of one object or two of them: no motion."""
    pose_at = poses(clip)
    first, second = (int(place) for place in rng.permutation(3)[:2])
    one = _looks(clip, first, pose_at[first](time), rng)
    place = str(rng.choice(PLACES[clip.background]))
    if rng.random() < 0.4:
        return f"{one} {_where(clip, first, pose_at[first](time))} over the {place}"
    other = _looks(clip, second, pose_at[second](time), rng)
    side = "right" if COLUMNS.index(clip.columns[first]) > COLUMNS.index(clip.columns[second]) else "left"
    if rng.random() < 0.5:
        return f"{one} to the {side} of {other} on the {place}"
    places = _where(clip, first, pose_at[first](time)), _where(clip, second, pose_at[second](time))
    return f"on the {place} {one} {places[0]} and {other} {places[1]}"


def _looks(clip: HardClip, place: int, pose: Pose, rng: np.random.Generator) -> str:
    looks = "small" if pose.radius < 0.22 else "large" if pose.radius > 0.34 else "medium"
    if pose.opacity < 0.5:
        looks = "faint"
    thing = clip.things[place]
    return noun_phrase(thing.shape, thing.colour, looks if rng.random() < 0.7 else "medium")


def _where(clip: HardClip, place: int, pose: Pose) -> str:
    height = "at the top " if pose.y < -_EDGE else "at the bottom " if pose.y > _EDGE else ""
    return height + _WORDS_OF_COLUMN[clip.columns[place]]


LESSON = Lesson(
    draw_still,
    length=36,
    fact_classes=(len(BACKGROUNDS), *(len(SHAPES), len(COLOURS)) * 3),
    fact_measures=4 * 3,
)
