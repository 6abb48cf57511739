"""`failures.csv`: what could not be read, and why, one row per video."""

from __future__ import annotations

import csv
import io
import os
from dataclasses import astuple, dataclass
from pathlib import Path

from ..atomic import write_atomic
from ..csv_text import csv_text, plain_cell

COLUMNS = ("id", "path", "stage", "reason")
FAILED, PARTIAL = "decode", "damaged"
"""Stages: nothing could be decoded; some frames could, and are in the store."""


@dataclass(frozen=True)
class Failure:
    """One row; `stage` is `decode` (the video is not in the store) or `damaged` (it is, with what could be read)."""

    id: str
    path: str
    stage: str
    reason: str


def failures_path(store: Path) -> Path:
    """Where the failures of a store are kept: in its folder, or beside a single file."""
    if store.is_dir():
        return store / "failures.csv"
    alone = store.with_name(f"{store.stem}.failures.csv")
    return alone if alone.exists() else store.parent / "failures.csv"


def read_failures(path: Path) -> dict[str, Failure]:
    """Rows by id, the last one where an id recurs; a row cut short by a kill is left out."""
    if not path.exists():
        return {}
    rows = csv.reader(io.StringIO(path.read_bytes().decode("utf-8", "replace"), newline=""))
    cells = ([plain_cell(cell) for cell in row] for row in rows)
    return {row[0]: Failure(*row) for row in cells if len(row) == len(COLUMNS) and tuple(row) != COLUMNS}


def append_failure(path: Path, failure: Failure) -> None:
    """Add one row by a single write, on a line of its own also where a kill cut the last one short."""
    before = path.read_bytes()[-1:] if path.exists() else b""
    lead = "" if before in (b"", b"\n") else "\n"
    line = lead + csv_text([*([] if before else [COLUMNS]), astuple(failure)])
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, line.encode("utf-8", "replace"))
    finally:
        os.close(descriptor)


def write_failures(path: Path, failures: dict[str, Failure]) -> None:
    """The whole file, sorted by id; no file where there is nothing to tell."""
    if not failures:
        path.unlink(missing_ok=True)
        return
    text = csv_text([COLUMNS, *(astuple(failures[video_id]) for video_id in sorted(failures))])
    write_atomic(path, text.encode("utf-8", "replace"))
