"""`failures.csv`: what could not be read, and why, one row a video: a view of what the shards record.

Stores of version 1 kept this file as their record, which is read where the shards are theirs.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from pathlib import Path

from ..atomic import write_atomic
from ..csv_text import csv_text, plain_cell
from ..wording import visible
from .schema import FAILED, Failure
from .shard import ShardIndex

COLUMNS = ("id", "path", "stage", "reason")
FIRST_VERSION = "camoe-store-1"


def failures_path(store: Path) -> Path:
    """Where the failures of a store are shown: in its folder, or beside a single file."""
    if store.is_dir():
        return store / "failures.csv"
    alone = store.with_name(f"{store.stem}.failures.csv")
    return alone if alone.exists() else store.parent / "failures.csv"


def legacy_failures(shards: Sequence[ShardIndex]) -> dict[str, Failure]:
    """What a store of version 1 keeps beside its shards, but for videos that it has after all."""
    if any(shard.version != FIRST_VERSION for shard in shards):
        return {}
    found: dict[str, Failure] = {}
    for path in {failures_path(shard.path) for shard in shards}:
        found |= read_failures(path)
    have = {video_id for shard in shards for video_id in shard.video_ids}
    return {name: failure for name, failure in found.items() if failure.stage != FAILED or name not in have}


def read_failures(path: Path) -> dict[str, Failure]:
    """Rows by id, the last one where an id recurs; a row cut short by a kill is left out."""
    if not path.exists():
        return {}
    text = path.read_bytes().decode("utf-8", "replace").replace("\0", "")  # Python 3.10 reads no line that has one
    rows = csv.reader(io.StringIO(text, newline=""))
    found = [Failure(*map(plain_cell, row)) for row in rows if len(row) == len(COLUMNS) and tuple(row) != COLUMNS]
    return {failure.id: failure for failure in found}


def write_failures(path: Path, failures: Mapping[str, Failure]) -> None:
    """The whole file, sorted by id, for people: control characters are written out, such as `\\u000d`.

    Where there is nothing to tell, there is no file.
    """
    if not failures:
        path.unlink(missing_ok=True)
        return
    rows = [COLUMNS, *(tuple(map(visible, astuple(failures[video_id]))) for video_id in sorted(failures))]
    write_atomic(path, csv_text(rows).encode("utf-8", "replace"))
