"""Whether a store that was opened is still the one on disk, for who keeps it open for days."""

from __future__ import annotations

import os
import time
from pathlib import Path

from ...pipeline.store import StoreError, find_shards
from ...pipeline.store.reader import StorePaths

_EVERY_S = 1.0

CHANGED = (
    "the store was changed on disk since it was opened, and what is searched is the store as it was; "
    "start camoe-search again to search the new one"
)


class StoreWatch:
    """Remembers a store's files as they are now; looks again at most once a second."""

    def __init__(self, paths: StorePaths) -> None:
        self._paths = paths
        self._first = self._state()
        self._next_look, self._changed = 0.0, False

    def changed(self) -> bool:
        """Whether a file was replaced, removed or added since; once it was, it stays so."""
        now = time.monotonic()
        if not self._changed and now >= self._next_look:
            self._next_look = now + _EVERY_S
            self._changed = self._state() != self._first
        return self._changed

    def _state(self) -> list[tuple[Path, int, int, int]]:
        try:
            found = [(path, os.stat(path)) for path in find_shards(self._paths)]
        except (StoreError, OSError):
            return []
        return [(path, status.st_ino, status.st_size, status.st_mtime_ns) for path, status in found]
