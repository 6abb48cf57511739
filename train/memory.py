"""How the C library handles the memory that a training step frees."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from contextlib import suppress

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h
KEPT, LARGEST, LARGEST_ONCE = 1 << 30, 1 << 27, 1 << 25


def keep_freed_memory() -> None:
    """Let this process keep up to 1 GiB of what it freed, in pieces of at most 128 MiB, or of 32 MiB with an old glibc.

    By default glibc hands a step's large tensors back, and the kernel clears every page of them anew at the next step.
    Other C libraries, which have no such settings, are left as they are.
    """
    with suppress(OSError, AttributeError):
        keep_by(ctypes.CDLL(None).mallopt)


def keep_by(set_option: Callable[[int, int], int]) -> None:
    """The same by a `mallopt`, which returns 0 for what it refuses: of larger pieces, an old one does."""
    if set_option(M_MMAP_THRESHOLD, LARGEST) or set_option(M_MMAP_THRESHOLD, LARGEST_ONCE):
        set_option(M_TRIM_THRESHOLD, KEPT)  # alone it would hold the pieces at 128 KiB, which else adapt themselves
