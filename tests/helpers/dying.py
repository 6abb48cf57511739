"""Work that is killed at a chosen change of the file system."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable

from camoe.pipeline.errors import CamoeError

FORK = multiprocessing.get_context("fork")
DIED, REFUSED = 9, 2


def status_of(step: int, work: Callable[[], object], *, seconds: float = 60) -> int | None:
    """Run `work` in a process that ends, without a word, at the n-th change of the file system.

    Returns `DIED`, `REFUSED` where it raised a `CamoeError`, 0 where it came to its end before, none where it hangs.
    """
    child = FORK.Process(target=_die_at, args=(step, work))
    child.start()
    child.join(seconds)
    return child.exitcode


def _die_at(step: int, work: Callable[[], object]) -> None:
    left = [step]

    def dying(real: Callable) -> Callable:
        def call(*arguments: object, **options: object) -> object:
            if not left[0]:
                os._exit(DIED)
            left[0] -= 1
            return real(*arguments, **options)

        return call

    for name in ("replace", "unlink", "rmdir", "open", "fsync"):
        setattr(os, name, dying(getattr(os, name)))
    try:
        work()
    except CamoeError:
        os._exit(REFUSED)
    os._exit(0)
