"""Texts told apart by 128 bits, so that those of many files can be compared without being kept."""

from __future__ import annotations

import numpy as np

_PRIMES = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F)
_MIX = (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53)


def text_hashes(column: np.ndarray) -> np.ndarray:
    """`(2, N)` uint64 of a column of bytes `(N,)`; a text has the same in a column of any width."""
    width = -(-max(1, column.dtype.itemsize) // 8) * 8
    words = column.astype(f"S{width}").view(np.uint64).reshape(len(column), width // 8)
    found = np.zeros((2, len(column)), np.uint64)
    for place in range(words.shape[1]):
        word = words[:, place]
        for row, prime in enumerate(_PRIMES):
            mixed = _mixed(word + np.uint64(prime * (place + 1) % 2**64))
            found[row] += np.where(word != 0, mixed, np.uint64(0))
    return np.stack([_mixed(row) for row in found])


def first_of_each(hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of texts by their `hashes (2, N)`: the row at which each distinct one comes first, ascending, and the place of
    every text among these, both int64."""
    one, other = hashes
    order = np.argsort(one, kind="stable")
    is_new = _differs(one[order])
    if not is_new.all() and (_differs(other[order]) & ~is_new).any():
        order = np.lexsort((other, one))
        is_new = _differs(one[order]) | _differs(other[order])
    first = order[is_new]
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    place = np.empty(len(one), np.int64)
    place[order] = rank[np.cumsum(is_new) - 1]
    return np.sort(first), place


def _differs(values: np.ndarray) -> np.ndarray:
    """Which values differ from the one before; the first does."""
    return np.concatenate([np.ones(min(1, len(values)), bool), values[1:] != values[:-1]])


def _mixed(values: np.ndarray) -> np.ndarray:
    values = (values ^ (values >> np.uint64(33))) * np.uint64(_MIX[0])
    values = (values ^ (values >> np.uint64(33))) * np.uint64(_MIX[1])
    return values ^ (values >> np.uint64(33))
