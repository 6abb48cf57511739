"""Which videos are still to be read, and which must not have changed since they were."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ..pipeline.checksum import fingerprint
from ..pipeline.errors import CamoeError
from ..pipeline.store.inventory import Inventory, Source
from .datasets import VideoItem


def pending_items(
    items: Sequence[VideoItem], held: Inventory, *, retry_failed: bool = False, replace_changed: bool = False
) -> list[VideoItem]:
    """The videos of the folder that are still to be read; with `retry_failed` those that failed, and only those.

    Raises `CamoeError` naming a source whose content has changed since it was extracted, unless `replace_changed`.
    """
    ids = [item.id for item in items]
    sources = dict(zip(ids, held.videos.of(ids), strict=True))
    changed = {item.id for item in items if (source := sources[item.id]) and has_changed(item.path, source)}
    if retry_failed:
        again = held.failed | (set(held.failures) & changed)
        _refuse_changed([item for item in items if item.id in changed - again], replace_changed)
        return [item for item in items if item.id in again]
    _refuse_changed([item for item in items if item.id in changed], replace_changed)
    failed = held.failed
    return [item for item in items if item.id in changed or (sources[item.id] is None and item.id not in failed)]


def has_changed(path: Path, source: Source) -> bool:
    """Whether a file is another than the one that was extracted; a new time alone does not make it another."""
    try:
        now = os.stat(path)
        if now.st_size != source.size:
            return True
        if abs(now.st_mtime - source.mtime) <= 1e-3 or not source.fingerprint:
            return False
        return fingerprint(path) != source.fingerprint
    except OSError:
        return False


def _refuse_changed(items: Sequence[VideoItem], replace_changed: bool) -> None:
    if items and not replace_changed:
        more = f" and {len(items) - 1} more files have" if len(items) > 1 else " has"
        raise CamoeError(
            f"{items[0].path}{more} changed since it was extracted; put the old file back, or extract it again with "
            "--replace-changed"
        )
