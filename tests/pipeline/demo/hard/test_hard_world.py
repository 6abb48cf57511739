"""The harder world: what is held out, what a family is, and that the pictures show what the captions say."""

from __future__ import annotations

from collections import Counter
from itertools import groupby

import numpy as np
import pytest
from camoe.pipeline.demo.captions import CAPTIONS_PER_CLIP, VERBS
from camoe.pipeline.demo.hard.captions import captions_of
from camoe.pipeline.demo.hard.render import draw_scene, poses, render_clip
from camoe.pipeline.demo.hard.world import (
    COLUMNS,
    MOTIONS,
    SIZES,
    VARIANTS,
    HardClip,
    Thing,
    acting_pairs,
    binding_blind_ceiling,
    family,
    make_clips,
    side,
)
from camoe.pipeline.demo.render import RESOLUTION
from camoe.pipeline.demo.world import SUBSETS


def families(size: str = "hard-small", seed: int = 0) -> list[list[HardClip]]:
    clips = make_clips(size, seed)
    return [list(each) for _, each in groupby(clips, key=lambda clip: int(clip.video_id[4:]) // len(VARIANTS))]


def actors(clip: HardClip) -> frozenset[Thing]:
    return frozenset(clip.things[event.actor] for event in clip.events)


@pytest.mark.parametrize(("size", "counts"), [("hard", (960, 120, 300)), ("hard-small", (30, 10, 20))])
def test_number_of_clips(size: str, counts: tuple[int, int, int]) -> None:
    clips = make_clips(size)
    found = Counter(clip.subset for clip in clips)
    assert tuple(found[subset] for subset in SUBSETS) == counts
    assert len({clip.video_id for clip in clips}) == len(clips)


def test_same_arguments_give_the_same_clips_and_another_seed_others() -> None:
    assert make_clips("hard-small", 3) == make_clips("hard-small", 3)
    assert make_clips("hard-small", 3) != make_clips("hard-small", 4)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("seed", [0, 1])
def test_no_acting_pair_is_in_two_subsets_whatever_the_seed(size: str, seed: int) -> None:
    pools = {subset: {frozenset(pair) for pair in acting_pairs(subset)} for subset in SUBSETS}
    swapped = {
        subset: {
            frozenset({Thing(a.shape, b.colour), Thing(b.shape, a.colour)}) for a, b in map(tuple, acting_pairs(subset))
        }
        for subset in SUBSETS
    }
    for clip in make_clips(size, seed):
        for subset in SUBSETS:
            assert (actors(clip) in pools[subset] | swapped[subset]) == (subset == clip.subset)


def test_a_family_differs_in_one_thing_each() -> None:
    for clips in families():
        assert tuple(clip.variant for clip in clips) == VARIANTS
        told, later, roles, colours, mirror = clips
        assert later.events == told.events[::-1]
        assert [event.motion for event in roles.events] == [event.motion for event in told.events[::-1]]
        assert [event.actor for event in roles.events] == [event.actor for event in told.events]
        assert {thing.colour for thing in colours.things} == {thing.colour for thing in told.things}
        assert actors(colours) != actors(told)
        assert [COLUMNS.index(column) for column in mirror.columns] == [
            2 - COLUMNS.index(column) for column in told.columns
        ]
        assert len({clip.background for clip in clips}) == 1


def test_captions_name_both_actors_their_order_and_the_side() -> None:
    for clip in make_clips("hard-small"):
        captions = captions_of(clip)
        assert len(set(captions)) == CAPTIONS_PER_CLIP
        assert captions == captions_of(clip)
        for caption in captions:
            words = caption.split()
            for event in clip.events:
                thing = clip.things[event.actor]
                assert f"{thing.colour} {thing.shape}" in caption
                assert set(words) & {word for pair in VERBS[event.motion] for word in pair}
            assert side(clip) in words


def test_captions_of_a_family_are_told_apart_by_more_than_their_words() -> None:
    """But for left and right, and synonyms, look-alikes share their words: their captions must still all differ."""
    for clips in families():
        said = [caption for clip in clips for caption in captions_of(clip)]
        assert len(set(said)) == len(said)


def test_the_ceiling_of_a_model_that_ignores_binding() -> None:
    clips = [clip for clip in make_clips("hard") if clip.subset == "test"]
    assert binding_blind_ceiling(clips) == pytest.approx(40.0)
    assert binding_blind_ceiling(clips[:1]) == 100.0


def moved(clip: HardClip, place: int, start: float, end: float) -> bool:
    pose = poses(clip)[place]
    return any(pose(time) != pose(start) for time in np.linspace(start, end, 9))


def test_each_event_happens_in_its_half() -> None:
    for clip in make_clips("hard-small"):
        for half, event in enumerate(clip.events):
            assert moved(clip, event.actor, half / 2, half / 2 + 0.5)
            assert not moved(clip, event.actor, (1 - half) / 2, (1 - half) / 2 + 0.5)
        assert not moved(clip, 2, 0, 1)


@pytest.mark.parametrize("motion", MOTIONS)
def test_every_motion_can_be_seen(motion: str) -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        clip = family(acting_pairs("train")[0], "train", 0, rng)[0]
        if clip.events[0].motion == motion:
            break
    frames = draw_scene(clip, np.linspace(0.02, 0.48, 8).tolist()).astype(int)
    assert max(np.abs(frames[i] - frames[0]).max() for i in range(1, 8)) > 60


def test_a_clip_is_drawn_whole_and_alike_each_time() -> None:
    clip = make_clips("hard-small")[0]
    frames = render_clip(clip)
    assert frames.shape == (clip.frame_count, RESOLUTION, RESOLUTION, 3)
    assert np.array_equal(frames, render_clip(clip))
