"""What is said about a clip of the demo's world: nouns carry shape and background, verbs carry motion."""

from __future__ import annotations

import numpy as np

from .world import Clip

CAPTIONS_PER_CLIP = 4

VERBS: dict[str, tuple[tuple[str, str], ...]] = {
    "left": (("drifts", "drifting"), ("travels", "traveling")),
    "right": (("drifts", "drifting"), ("travels", "traveling")),
    "rise": (("rises", "rising"), ("climbs", "climbing")),
    "fall": (("falls", "falling"), ("descends", "descending")),
    "grow": (("grows", "growing"), ("expands", "expanding")),
    "shrink": (("shrinks", "shrinking"), ("dwindles", "dwindling")),
    "appear": (("appears", "appearing"), ("emerges", "emerging")),
    "vanish": (("vanishes", "vanishing"), ("disappears", "disappearing")),
    "spin": (("spins", "spinning"), ("rotates", "rotating")),
    "bounce": (("jumps", "jumping"), ("jumps", "bouncing")),
    "shake": (("shakes", "shaking"), ("trembles", "trembling")),
    "flash": (("blinks", "blinking"), ("blinks", "flashing")),
}
"""For each motion, verbs in the third person and as a participle; only such as a tagger takes for verbs."""

DIRECTIONS = {"left": " to the left", "right": " to the right"}
PLACES: dict[str, tuple[str, ...]] = {
    "sand": ("sand", "beach"),
    "grass": ("grass", "meadow"),
    "water": ("water", "sea"),
    "snow": ("snow", "ice"),
}
TEMPLATES = (
    "{thing} {verb}{way} over the {place}",
    "{thing} is {participle}{way} on the {place}",
    "over the {place} {thing} {verb}{way}",
    "on the {place} {thing} is {participle}{way}",
    "there is {thing} that {verb}{way} above the {place}",
)


def noun_phrase(shape: str, colour: str, size: str = "medium") -> str:
    """Such as `a small red circle`; medium is never said."""
    words = f"{colour} {shape}" if size == "medium" else f"{size} {colour} {shape}"
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def describe(clip: Clip, template: int, rng: np.random.Generator) -> str:
    """One caption of the clip by the template of that number; `rng` draws the synonyms and whether size is said."""
    what = clip.combination
    verbs = VERBS[what.motion]
    verb, participle = verbs[int(rng.integers(len(verbs)))]
    size = clip.size if what.motion not in ("grow", "shrink") and rng.random() < 0.5 else "medium"
    thing = noun_phrase(what.shape, what.colour, size)
    if clip.other is not None:
        thing += " beside " + noun_phrase(*clip.other)
    return TEMPLATES[template].format(
        thing=thing,
        verb=verb,
        participle=participle,
        way=DIRECTIONS.get(what.motion, ""),
        place=str(rng.choice(PLACES[what.background])),
    )


def captions_of(clip: Clip) -> list[str]:
    """The clip's captions: `CAPTIONS_PER_CLIP` of them, each by another template, the same on every call."""
    rng = np.random.default_rng([clip.seed, 1])
    return [describe(clip, int(i), rng) for i in rng.permutation(len(TEMPLATES))[:CAPTIONS_PER_CLIP]]
