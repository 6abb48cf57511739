"""The demo's pictures: deterministic, distinct, and honest about direction."""

from __future__ import annotations

import numpy as np
import pytest
from camoe.pipeline.demo.render import RESOLUTION, draw_scene, render_clip, trajectory
from camoe.pipeline.demo.world import (
    BACKGROUNDS,
    COLOURS,
    MIRRORED_MOTIONS,
    MOTIONS,
    SHAPES,
    Clip,
    Combination,
)


def clip(
    shape: str = "star", colour: str = "red", background: str = "sand", motion: str = "spin", seed: int = 7
) -> Clip:
    return Clip("a", "train", Combination(shape, colour, background, motion), "large", None, 16, seed)


def test_a_clip_renders_the_same_every_time() -> None:
    frames = render_clip(clip())
    assert frames.shape == (16, RESOLUTION, RESOLUTION, 3)
    assert frames.dtype == np.uint8
    assert np.array_equal(frames, render_clip(clip()))
    assert not np.array_equal(frames, render_clip(clip(seed=8)))


@pytest.mark.parametrize("choices", [("shape", SHAPES), ("colour", COLOURS), ("background", BACKGROUNDS)])
def test_choices_look_different(choices: tuple[str, tuple[str, ...]]) -> None:
    name, values = choices
    pictures = [draw_scene(clip(**{name: value}), [0.5])[0].astype(int) for value in values]
    differences = [np.abs(a - b).max() for i, a in enumerate(pictures) for b in pictures[i + 1 :]]
    assert min(differences) > 40


@pytest.mark.parametrize("motion", MOTIONS)
def test_every_motion_changes_the_picture(motion: str) -> None:
    frames = render_clip(clip(motion=motion)).astype(int)
    assert np.abs(frames - frames[0]).max() > 60


@pytest.mark.parametrize(("one", "other"), MIRRORED_MOTIONS)
def test_mirrored_motions_are_one_path_run_backwards(one: str, other: str) -> None:
    for time in (0.0, 0.3, 1.0):
        one_pose, other_pose = trajectory(clip(motion=one))(time), trajectory(clip(motion=other))(1 - time)
        assert vars(one_pose) == pytest.approx(vars(other_pose))


def test_motions_go_where_they_say() -> None:
    def change(motion: str, what: str) -> float:
        return getattr(trajectory(clip(motion=motion))(1.0), what) - getattr(trajectory(clip(motion=motion))(0.0), what)

    assert change("right", "x") > 0.8
    assert change("left", "x") < -0.8
    assert change("rise", "y") < -0.8  # y points down
    assert change("fall", "y") > 0.8
    assert change("grow", "radius") > 0.3
    assert change("shrink", "radius") < -0.3
    assert change("appear", "opacity") > 0.6
    assert change("vanish", "opacity") < -0.6


def test_two_objects_are_both_drawn() -> None:
    alone = clip(colour="red", background="grass", motion="grow")
    both = Clip(**{**vars(alone), "other": ("circle", "blue")})
    frames = draw_scene(both, [0.2])[0].astype(int)
    blue = (frames[..., 2] > 180) & (frames[..., 0] < 90)
    red = (frames[..., 0] > 180) & (frames[..., 2] < 90)
    assert blue.sum() > 100
    assert red.sum() > 50
