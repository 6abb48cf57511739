"""The demo's captions: several wordings, only what is true, and a vocabulary that a tagger reads as meant."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from camoe.pipeline.demo.captions import (
    CAPTIONS_PER_CLIP,
    PLACES,
    TEMPLATES,
    VERBS,
    captions_of,
    describe,
    noun_phrase,
)
from camoe.pipeline.demo.world import COLOURS, MOTIONS, SHAPES, Clip, Combination, make_clips
from HanTa import HanoverTagger


@cache
def tagged() -> list[tuple[str, str, str]]:
    """(word before, word, tag) of every word of the small dataset's captions."""
    tagger = HanoverTagger.HanoverTagger("morphmodel_en.pgz")
    found = []
    for caption in sorted({caption for clip in make_clips("small") for caption in captions_of(clip)}):
        words = caption.split()
        found += list(zip(["", *words], words, tagger.tag_sent(words, taglevel=0), strict=False))
    return found


def test_a_clip_has_four_differently_worded_captions() -> None:
    for clip in make_clips("small"):
        captions = captions_of(clip)
        assert len(set(captions)) == len(captions) == CAPTIONS_PER_CLIP == 4
        assert captions == captions_of(clip)


def test_captions_say_shape_colour_and_motion() -> None:
    for clip in make_clips("small"):
        what = clip.combination
        verbs = {word for pair in VERBS[what.motion] for word in pair}
        for caption in captions_of(clip):
            words = set(caption.split())
            assert {what.shape, what.colour} <= words
            assert words & verbs
            assert words & set(PLACES[what.background])


def test_mirrored_directions_are_said() -> None:
    clip = Clip("a", "test", Combination("star", "orange", "sand", "left"), "medium", None, 16, 5)
    caption = describe(clip, 0, np.random.default_rng(0))
    assert caption.startswith("an orange star ")
    assert " to the left over the " in caption


def test_every_motion_has_its_own_verbs_but_for_left_and_right() -> None:
    assert set(VERBS) == set(MOTIONS)
    assert VERBS["left"] == VERBS["right"]
    words = [word for motion in MOTIONS if motion != "right" for word in {w for pair in VERBS[motion] for w in pair}]
    assert len(words) == len(set(words))


@pytest.mark.parametrize(
    ("arguments", "phrase"),
    [
        (("star", "red"), "a red star"),
        (("ring", "orange"), "an orange ring"),
        (("ring", "orange", "small"), "a small orange ring"),
    ],
)
def test_noun_phrase(arguments: tuple[str, ...], phrase: str) -> None:
    assert noun_phrase(*arguments) == phrase


def test_nouns_are_tagged_as_nouns() -> None:
    nouns = set(SHAPES) | {noun for places in PLACES.values() for noun in places} | {"left", "right"}
    tags = [tag for _, word, tag in tagged() if word in nouns]
    assert len(tags) > 300
    assert sum(tag.startswith("NN") for tag in tags) >= 0.99 * len(tags)


def test_verbs_are_tagged_as_verbs() -> None:
    """Of a participle after "is" a tagger may think as an adjective; "is growing" is a verb all the same."""
    verbs = {word for pairs in VERBS.values() for pair in pairs for word in pair}
    tags = [(before, tag) for before, word, tag in tagged() if word in verbs]
    assert len(tags) > 150
    assert sum(tag.startswith("VV") or before == "is" for before, tag in tags) >= 0.99 * len(tags)


def test_nothing_else_is_tagged_as_noun_or_verb() -> None:
    content = set(SHAPES) | {noun for places in PLACES.values() for noun in places} | {"left", "right"}
    content |= {word for pairs in VERBS.values() for pair in pairs for word in pair}
    tags = [(word, tag) for _, word, tag in tagged() if word not in content]
    assert not [(word, tag) for word, tag in tags if tag.startswith(("NN", "NP", "VV"))]
    assert {tag for word, tag in tags if word in COLOURS} == {"AJ0"}


def test_templates_differ() -> None:
    assert len(set(TEMPLATES)) == 5
