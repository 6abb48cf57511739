"""The stills that teach the `tiny` CLIP: single frames of training combinations, and what can be said about each.

A still is captioned either as its whole clip would be (with a motion that one frame only hints at) or by what it
alone shows: place, apparent size, faintness. The second kind ties words such as "left" to places in the picture, so
that frozen frame embeddings carry what an expert needs to learn direction over time.
"""

from __future__ import annotations

import numpy as np

from ...pipeline.demo.captions import PLACES, TEMPLATES, describe, noun_phrase
from ...pipeline.demo.render import draw_scene, trajectory
from ...pipeline.demo.world import (
    BACKGROUNDS,
    COLOURS,
    FRAME_COUNTS,
    MIRROR,
    MOTIONS,
    SHAPES,
    Clip,
    combinations_of,
    draw_size_and_other,
)
from .lesson import Lesson, as_decoded

CAPTIONS_PER_STILL = 4
MOTION_SHARE = 0.6
"""Share of the stills captioned as their whole clip would be."""
LATENESS = 3
"""Such stills are drawn late, at time uniform ** (1 / LATENESS): the end of a clip shows what became of the object, so
that "rises" lies nearer to "at the top" than "falls" does. The others are drawn at any time."""

FACT_CLASSES = {
    "shape": len(SHAPES),
    "colour": len(COLOURS),
    "background": len(BACKGROUNDS),
    "motion": len(MOTIONS),
}
FACT_MEASURES = 5

_EDGE = 0.2


def draw_still(number: int, seed: int) -> tuple[np.ndarray, list[str], list[float]]:
    """Still `number` of the training set: pixels (64, 64, 3) uint8, its captions and `facts_of` it."""
    rng = np.random.default_rng([seed, number])
    pool = combinations_of("train")
    combination = pool[int(rng.integers(len(pool)))]
    size, other = draw_size_and_other(combination, "train", rng)
    frame_count = int(rng.integers(FRAME_COUNTS[0], FRAME_COUNTS[1] + 1))
    clip = Clip("still", "train", combination, size, other, frame_count, int(rng.integers(2**31)))
    if rng.random() < MOTION_SHARE:
        time = float(rng.random()) ** (1 / LATENESS)
        captions = [describe(clip, int(rng.integers(len(TEMPLATES))), rng) for _ in range(CAPTIONS_PER_STILL)]
    else:
        time = float(rng.random())
        captions = [describe_still(clip, time, rng) for _ in range(CAPTIONS_PER_STILL)]
    return as_decoded(draw_scene(clip, [time])[0], rng), captions, facts_of(clip, time)


def facts_of(clip: Clip, time: float) -> list[float]:
    """Numbers of the classes of `FACT_CLASSES`, then `FACT_MEASURES` measures of the pose, about -1 to 1 each.

    Mirrored motions are one class: a still cannot tell them apart.
    """
    what, pose = clip.combination, trajectory(clip)(time)
    motion = MOTIONS.index(min(what.motion, MIRROR.get(what.motion, what.motion)))
    classes = SHAPES.index(what.shape), COLOURS.index(what.colour), BACKGROUNDS.index(what.background), motion
    return [*map(float, classes), pose.x, pose.y, 4 * (pose.radius - 0.35), 2 * pose.opacity - 1, pose.glow]


def describe_still(clip: Clip, time: float, rng: np.random.Generator) -> str:
    """A caption of one moment: where the object is, how large it looks, whether it is faint; no motion."""
    pose, what = trajectory(clip)(time), clip.combination
    looks = "small" if pose.radius < 0.3 else "large" if pose.radius > 0.42 else "medium"
    if pose.opacity < 0.5:
        looks = "faint"
    thing = noun_phrase(what.shape, what.colour, looks if rng.random() < 0.7 else "medium")
    if clip.other is not None:
        thing += " beside " + noun_phrase(*clip.other)
    sideways = "to the left" if pose.x < -_EDGE else "to the right" if pose.x > _EDGE else ""
    upright = "at the top" if pose.y < -_EDGE else "at the bottom" if pose.y > _EDGE else ""
    where = " ".join(filter(None, (upright, sideways))) or "in the middle"
    template = (
        "{thing} {where} over the {place}",
        "{where} {thing} on the {place}",
        "there is {thing} {where} on the {place}",
    )
    place = str(rng.choice(PLACES[what.background]))
    return template[int(rng.integers(len(template)))].format(thing=thing, where=where, place=place)


LESSON = Lesson(draw_still, length=24, fact_classes=tuple(FACT_CLASSES.values()), fact_measures=FACT_MEASURES)
