"""A batch on a CPU as equal parts that are computed side by side.

Threads that share a product wait for each other at its end, a hundred times a batch, and GNU's OpenMP spins meanwhile:
beside another busy process a third to a half of the processor time is lost. Parts that each have their own threads wait
once a batch.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import torch
from torch import Tensor

LEAST_PART = 8
"""Frames of a part. Products of fewer take longer a frame, and are not always the same to the bit."""


def parts_of(count: int, threads: int) -> int:
    """Into how many equal parts a batch of so many frames is cut, each with as many of the threads."""
    return max(parts for parts in range(1, threads + 1) if threads % parts == 0 and _fits(count, parts))


def _fits(count: int, parts: int) -> bool:
    return parts == 1 or (count % parts == 0 and count // parts >= LEAST_PART)


def side_by_side(encode: Callable[[Tensor], Tensor], frames: Tensor) -> Tensor:
    """`encode(frames)` of `frames (B, ...)`, whose rows do not depend on each other, in parts on the CPU's threads."""
    threads = torch.get_num_threads()
    parts = parts_of(len(frames), threads)
    if parts == 1:
        return encode(frames)

    def encode_part(part: Tensor) -> Tensor:
        torch.set_num_threads(threads // parts)  # of the calling thread, and of threads that begin hereafter
        return encode(part)

    try:
        return torch.cat(list(_pool(parts).map(encode_part, frames.chunk(parts))))
    finally:
        torch.set_num_threads(threads)


@cache
def _pool(parts: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(parts, "encode")
