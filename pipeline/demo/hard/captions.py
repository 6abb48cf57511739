"""What is said about a clip of the harder world: two events, their order, who does what, and who stands where."""

from __future__ import annotations

import numpy as np

from ..captions import CAPTIONS_PER_CLIP, PLACES, VERBS, noun_phrase
from .world import Event, HardClip, Thing, side

TEMPLATES = (
    "{first} {verb1} on the {place} and then {second} to its {side} {verb2}",
    "on the {place} {second} {verb2} to the {side} of {first} that {verb1} before",
    "first {first} is {participle1} and then {second} to its {side} is {participle2} near {third}",
    "{first} {verb1} over the {place} before {second} to its {side} {verb2}",
    "over the {place} {first} is {participle1} before {second} to its {side} is {participle2}",
    "near {third} {second} is {participle2} to the {side} of {first} that {verb1} first on the {place}",
)
"""`first` acts before `second`, who stands at its `side`; `third` is at rest."""


def describe(clip: HardClip, template: int, rng: np.random.Generator) -> str:
    """One caption of the clip by the template of that number; `rng` draws the synonyms."""
    early, late = clip.events
    verb1, participle1 = _verb(early, rng)
    verb2, participle2 = _verb(late, rng)
    return TEMPLATES[template].format(
        first=phrase(clip.things[early.actor]),
        second=phrase(clip.things[late.actor]),
        third=phrase(clip.things[2]),
        verb1=verb1,
        verb2=verb2,
        participle1=participle1,
        participle2=participle2,
        side=side(clip),
        place=str(rng.choice(PLACES[clip.background])),
    )


def phrase(thing: Thing) -> str:
    """Such as `a red circle`."""
    return noun_phrase(thing.shape, thing.colour)


def _verb(event: Event, rng: np.random.Generator) -> tuple[str, str]:
    verbs = VERBS[event.motion]
    return verbs[int(rng.integers(len(verbs)))]


def captions_of(clip: HardClip) -> list[str]:
    """The clip's captions: `CAPTIONS_PER_CLIP` of them, each by another template, the same on every call."""
    rng = np.random.default_rng([clip.seed, 1])
    return [describe(clip, int(i), rng) for i in rng.permutation(len(TEMPLATES))[:CAPTIONS_PER_CLIP]]
