"""Which videos are still to be read, and which must not have changed since they were."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ..pipeline.checksum import fingerprint
from ..pipeline.errors import CamoeError
from ..pipeline.store.inventory import Inventory, Source
from .config import ExtractConfig
from .datasets import VideoItem


def pending_items(config: ExtractConfig, items: Sequence[VideoItem], held: Inventory) -> list[VideoItem]:
    """The videos that are still to be read.

    Raises `CamoeError` naming a source whose content has changed since it was extracted, unless `replace_changed`.
    """
    if config.videos is None:
        return []
    changed = {item.id for item in items if item.id in held.videos and has_changed(item.path, held.videos[item.id])}
    if config.retry_failed:
        again = held.failed | (set(held.failures) & changed)
        _refuse_changed(config, [item for item in items if item.id in changed - again])
        return [item for item in items if item.id in again]
    _refuse_changed(config, [item for item in items if item.id in changed])
    return [item for item in items if item.id in changed or (item.id not in held.videos and item.id not in held.failed)]


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


def _refuse_changed(config: ExtractConfig, items: Sequence[VideoItem]) -> None:
    if items and not config.replace_changed:
        more = f" and {len(items) - 1} more files have" if len(items) > 1 else " has"
        raise CamoeError(
            f"{items[0].path}{more} changed since it was extracted; put the old file back, or extract it again with "
            "--replace-changed"
        )
