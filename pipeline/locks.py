"""Locks between processes, and between machines that share a file system: a killed process loses what it held.

A lock is a file that is locked (`flock`), not one that is there. It may be removed by its holder: whoever waited for
it finds that out and locks its successor.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .regular import open_lock


def take_lock(path: Path, *, wait: bool = False, shared: bool = False) -> int | None:
    """A descriptor that holds the lock until it is closed; `None` where another has it, unless one is to `wait`.

    Several may have it `shared`. Raises `OSError` where the file cannot be made, or the file system knows no locks.
    """
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    while True:
        lock = open_lock(path)
        try:
            fcntl.flock(lock, kind if wait else kind | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(lock), os.stat(path)):
                return lock
        except FileNotFoundError:
            pass  # removed by its last holder, as is one that is no longer the same
        except BlockingIOError:
            os.close(lock)
            return None
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)


def release_lock(path: Path, lock: int) -> None:
    """Give a lock back and remove its file."""
    with suppress(FileNotFoundError):
        os.unlink(path)
    os.close(lock)


@contextmanager
def brief_lock(path: Path) -> Iterator[None]:
    """The lock for the few moments that a file shared by several writers takes to be changed; one waits for it."""
    lock = take_lock(path, wait=True)
    assert lock is not None
    try:
        yield
    finally:
        release_lock(path, lock)
