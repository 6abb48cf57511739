"""How the C library handles the memory that a training step frees."""

from __future__ import annotations

import ctypes
from contextlib import suppress

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h
KEPT, LARGEST = 1 << 30, 1 << 27


def keep_freed_memory() -> None:
    """Let this process keep up to 1 GiB of what it freed, in pieces of at most 128 MiB.

    By default glibc hands a step's large tensors back, and the kernel clears every page of them anew at the next step.
    Other C libraries, which have no such settings, are left as they are.
    """
    with suppress(OSError, AttributeError):
        set_option = ctypes.CDLL(None).mallopt
        set_option(M_MMAP_THRESHOLD, LARGEST)
        set_option(M_TRIM_THRESHOLD, KEPT)
