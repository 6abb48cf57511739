"""Batches in parts: how they are cut, and that the numbers stay the same to the bit."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from camoe.extract.clip_encoder import ClipEncoder
from camoe.extract.side_by_side import parts_of, side_by_side
from torch import Tensor


@pytest.mark.parametrize(
    ("frames", "threads", "parts"),
    [(16, 1, 1), (16, 2, 2), (16, 3, 1), (16, 64, 2), (12, 2, 1), (17, 2, 1), (64, 6, 2), (64, 8, 8), (64, 64, 8)],
)
def test_parts_are_equal_and_not_small_and_leave_no_thread_out(frames: int, threads: int, parts: int) -> None:
    assert parts_of(frames, threads) == parts


def test_each_part_has_threads_of_its_own() -> None:
    torch.set_num_threads(4)
    met = threading.Barrier(2, timeout=30)  # broken unless both parts run at once
    seen = []

    def encode(part: Tensor) -> Tensor:
        met.wait()
        seen.append((len(part), torch.get_num_threads()))
        return part + 1

    assert torch.equal(side_by_side(encode, torch.arange(16)), torch.arange(1, 17))
    assert seen == [(8, 2), (8, 2)]
    assert torch.get_num_threads() == 4


def test_an_error_in_a_part_leaves_the_threads_as_they_were() -> None:
    torch.set_num_threads(2)

    def fail(part: Tensor) -> Tensor:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        side_by_side(fail, torch.arange(16))
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_same_bits_in_any_number_of_threads(precision: str) -> None:
    encoder = ClipEncoder.load("tiny", "cpu", precision)
    frames = np.random.default_rng(0).integers(0, 256, (64, encoder.resolution, encoder.resolution, 3), np.uint8)
    torch.set_num_threads(1)
    alone = encoder.encode_frames(frames)
    for threads in (2, 8):
        torch.set_num_threads(threads)
        assert torch.equal(encoder.encode_frames(frames), alone)
