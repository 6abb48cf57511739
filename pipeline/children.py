"""Processes that work for this one end with it, however it ends: one that is killed tells its children nothing."""

from __future__ import annotations

import os
import threading
from multiprocessing import parent_process


def end_with_parent() -> None:
    """Called in a child of `multiprocessing`: from now on it ends when its parent does, instead of waiting for work."""
    threading.Thread(target=_wait_and_end, daemon=True).start()


def _wait_and_end() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
