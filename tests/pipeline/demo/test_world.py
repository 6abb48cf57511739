"""The demo's world: what is held out, what comes in pairs, what a clip may be."""

from __future__ import annotations

from collections import Counter

import pytest
from camoe.pipeline.demo.world import (
    MIRROR,
    SIZES,
    SUBSETS,
    Clip,
    Combination,
    combinations_of,
    direction_blind_ceiling,
    make_clips,
    other_objects,
)
from camoe.pipeline.demo.worlds import world_of
from camoe.pipeline.errors import CamoeError


def clip(motion: str, **changes: object) -> Clip:
    values = {
        "video_id": "clip0000",
        "subset": "test",
        "combination": Combination("star", "red", "sand", motion),
        "size": "small",
        "other": None,
        "frame_count": 16,
        "seed": 1,
    }
    return Clip(**(values | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(("size", "counts"), [("default", (960, 120, 240)), ("small", (36, 12, 16))])
def test_number_of_clips(size: str, counts: tuple[int, int, int]) -> None:
    found = Counter(clip.subset for clip in make_clips(size))
    assert tuple(found[subset] for subset in SUBSETS) == counts


def test_same_arguments_give_the_same_clips_and_another_seed_others() -> None:
    assert make_clips("small", 3) == make_clips("small", 3)
    assert make_clips("small", 3) != make_clips("small", 4)


def test_subsets_share_no_combination_and_together_are_all() -> None:
    pools = [set(combinations_of(subset)) for subset in SUBSETS]
    assert sum(map(len, pools)) == len(set().union(*pools)) == 8 * 8 * 4 * 12


@pytest.mark.parametrize("size", list(SIZES))
@pytest.mark.parametrize("seed", [0, 1])
def test_clips_show_combinations_of_their_subset_once(size: str, seed: int) -> None:
    clips = make_clips(size, seed)
    assert all(clip.combination in set(combinations_of(clip.subset)) for clip in clips)
    assert len({clip.combination for clip in clips}) == len({clip.video_id for clip in clips}) == len(clips)


def test_pairs_of_objects_belong_to_one_subset() -> None:
    pairs = {
        subset: {frozenset((first, second)) for first, found in other_objects(subset).items() for second in found}
        for subset in SUBSETS
    }
    assert not pairs["train"] & pairs["test"]
    assert not pairs["train"] & pairs["val"]
    assert not pairs["val"] & pairs["test"]
    shown = [clip for clip in make_clips() if clip.other is not None]
    assert len(shown) > 100
    for each in shown:
        what = each.combination
        assert each.other is not None
        assert frozenset(((what.shape, what.colour), each.other)) in pairs[each.subset]
        assert each.other[0] != what.shape
        assert each.other[1] != what.colour


def test_mirrored_motions_come_in_pairs_alike_in_all_that_captions_tell() -> None:
    for subset in SUBSETS:
        clips = {each.combination: each for each in make_clips() if each.subset == subset}
        mirrored = [each for each in clips.values() if each.combination.motion in MIRROR]
        assert len(mirrored) >= len(clips) / 2
        for each in mirrored:
            what = each.combination
            twin = clips[Combination(what.shape, what.colour, what.background, MIRROR[what.motion])]
            assert (twin.size, twin.other) == (each.size, each.other)


def test_clips_last_two_to_three_seconds() -> None:
    assert {2.0, 3.0} <= {each.duration_seconds for each in make_clips()}
    assert all(2.0 <= each.duration_seconds <= 3.0 for each in make_clips())


def test_direction_blind_ceiling_counts_mirrored_clips_as_a_guess() -> None:
    assert direction_blind_ceiling([clip("spin"), clip("bounce")]) == 100.0
    assert direction_blind_ceiling([clip("rise"), clip("fall")]) == 50.0
    assert direction_blind_ceiling([clip("rise"), clip("fall", size="large")]) == 100.0
    assert direction_blind_ceiling([clip("rise"), clip("fall"), clip("left"), clip("spin")]) == 75.0


def test_direction_blind_ceiling_of_the_default_test_subset() -> None:
    assert direction_blind_ceiling([each for each in make_clips() if each.subset == "test"]) == 60.0


def test_unknown_size_is_refused() -> None:
    with pytest.raises(CamoeError, match="no demo size 'huge'; choose from default, small, few, hard, hard-small"):
        world_of("huge")
