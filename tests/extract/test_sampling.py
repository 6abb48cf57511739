from pathlib import Path

import numpy as np
import pytest
from camoe.extract.config import ExtractConfig
from camoe.extract.sampling import MAX_FRAMES, SAMPLING, TIME_TOLERANCE_S, grid_points, pick_frames
from camoe.pipeline.errors import CamoeError
from camoe.pipeline.store import safe_open
from hypothesis import given
from hypothesis import strategies as st


def test_uniform_is_clip4clips_linspace() -> None:
    assert SAMPLING["uniform"](14, 12) == np.linspace(0, 13, 12, dtype=int).tolist()
    assert SAMPLING["uniform"](14, 12) == [0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 13]
    assert SAMPLING["uniform"](5, 12) == [0, 1, 2, 3, 4]


def test_head_and_tail() -> None:
    assert SAMPLING["head"](20, 3) == [0, 1, 2]
    assert SAMPLING["tail"](20, 3) == [17, 18, 19]
    assert SAMPLING["tail"](2, 3) == [0, 1]


@pytest.mark.parametrize(
    ("last", "fps", "points"), [(0.0, 1, 1), (0.99, 1, 1), (1.0, 1, 2), (9.96, 1, 10), (2.9, 4, 12)]
)
def test_grid_points(last: float, fps: float, points: int) -> None:
    assert grid_points(last, fps) == points


def test_a_gap_takes_the_next_frame_once() -> None:
    # At 1 fps: points 0..6; nothing is shown between 0 s and 5 s.
    assert pick_frames([0.0, 5.0, 6.0], fps=1, max_frames=12, sampling="uniform") == [0, 1, 2]
    assert pick_frames([0.0, 5.0, 6.0], fps=1, max_frames=3, sampling="head") == [0, 1]


def test_as_many_frames_as_a_store_can_hold() -> None:
    """A video's frames are at least one chunk; the widest CLIP has 1,024 numbers a frame, others up to 8,192."""
    ExtractConfig(videos=Path(), max_frames=MAX_FRAMES)
    with pytest.raises(CamoeError, match="max_frames must be at most 4096, not 2000000"):
        ExtractConfig(videos=Path(), max_frames=2_000_000)
    assert MAX_FRAMES * 8192 * np.dtype(np.float16).itemsize <= safe_open._MAX_CHUNK_BYTES


def test_no_frames() -> None:
    assert pick_frames([], fps=1, max_frames=12, sampling="uniform") == []


@given(
    st.lists(st.integers(0, 4000), min_size=1, max_size=60, unique=True),
    st.sampled_from([0.5, 1.0, 2.0, 4.0]),
    st.integers(1, 20),
    st.sampled_from(["uniform", "head", "tail"]),
)
def test_picking_from_the_grid_equals_picking_from_all_frames(
    hundredths: list[int], fps: float, max_frames: int, sampling: str
) -> None:
    """What the decoder does (grid frames first, policy second) against the definition on all frames."""
    every = sorted(hundredth / 100 for hundredth in hundredths)
    grid = []
    for point in range(grid_points(every[-1], fps)):
        first = next(time for time in every if time >= point / fps - TIME_TOLERANCE_S)
        if first not in grid:
            grid.append(first)
    wanted = []
    for point in SAMPLING[sampling](grid_points(every[-1], fps), max_frames):
        first = next(time for time in every if time >= point / fps - TIME_TOLERANCE_S)
        if first not in wanted:
            wanted.append(first)
    picked = pick_frames(grid, fps=fps, max_frames=max_frames, sampling=sampling)
    assert [grid[index] for index in picked] == wanted
    assert len(picked) <= max_frames
