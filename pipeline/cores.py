"""How many cores a process may use, which is how many workers the commands start unless told otherwise."""

from __future__ import annotations

import os


def usable_cores() -> int:
    """Cores that this process may use; where the system does not tell (macOS), all there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
