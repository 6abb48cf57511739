from __future__ import annotations

import numpy as np
import torch
from camoe.evaluate.search.frame_vectors import FrameVectors
from camoe.evaluate.search.searcher import Searcher


class Counted:
    """Vectors `(2, R, 3, 4)` that depend on the row alone, and which rows were asked for."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def __call__(self, rows: np.ndarray) -> torch.Tensor:
        self.asked += rows.tolist()
        return torch.stack([torch.full((2, 3, 4), float(row)) for row in rows.tolist()], dim=1)


def test_vectors_are_computed_once_and_given_in_the_order_asked_for() -> None:
    encode = Counted()
    vectors = FrameVectors(encode, 10)
    assert vectors.of(np.array([3, 1, 3]))[0, :, 0, 0].tolist() == [3, 1, 3]
    assert vectors.of(np.array([1, 2]))[1, :, 2, 3].tolist() == [1, 2]
    assert encode.asked == [3, 1, 2]
    assert vectors.prepare()
    assert sorted(encode.asked) == list(range(10))
    assert vectors.kept_bytes == 10 * 2 * 3 * 4 * 2


def test_what_does_not_fit_is_computed_anew() -> None:
    encode = Counted()
    vectors = FrameVectors(encode, 10, kept_bytes=2 * 48)
    assert not vectors.prepare()
    for _ in range(2):
        assert vectors.of(np.array([0, 1, 2, 3]))[0, :, 0, 0].tolist() == [0, 1, 2, 3]
    assert encode.asked == [0, 1, 2, 3, 2, 3]
    assert vectors.kept_bytes == 2 * 48


def test_preparing_stops_when_told() -> None:
    encode = Counted()
    FrameVectors(encode, 1000).prepare(lambda: len(encode.asked) < 100)
    assert 100 <= len(encode.asked) < 200


def test_moments_are_the_same_prepared_or_not(world, searcher: Searcher) -> None:
    other = Searcher.open(world.run, device="cpu")
    assert other.prepare_moments()
    for text in ("a pink moon expands over the grass", "a red star"):
        assert other.search(text) == searcher.search(text)
