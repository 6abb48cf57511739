"""A sweep's folder: one writer at a time, and a note of the store and the grid that it is of."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...pipeline.atomic import write_atomic
from ...pipeline.errors import CamoeError
from ...pipeline.regular import open_lock, read_regular
from ...pipeline.wording import counted, short_hash
from ...pipeline.writable import check_writable
from .plan import Plan

NOTE, CELLS, LOCK = "sweep.json", "cells", ".lock"
Note = dict[str, Any]


@contextmanager
def sweep_folder(path: Path, plan: Plan, *, extend: bool, search: Note | None = None) -> Iterator[Path]:
    """The folder, locked. Raises `CamoeError` where it is something else, another store's, or another grid's.

    `search`: what a search's trials depend on, none for a grid. With `extend` another grid or search is welcome:
    results go by their settings, so that what both share is kept.
    """
    _refuse_foreign(path, plan, search, extend=extend)
    check_writable(path, inside=True)
    path.mkdir(parents=True, exist_ok=True)
    with os.fdopen(open_lock(path / LOCK), "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CamoeError(f"another sweep is writing {path}; wait for it, or give another --out") from None
        write_atomic(path / NOTE, json.dumps(_note(plan, search), indent=1) + "\n")
        (path / CELLS).mkdir(exist_ok=True)
        for left_over in path.rglob("*.tmp.*"):
            left_over.unlink()
        yield path


def _refuse_foreign(path: Path, plan: Plan, search: Note | None, *, extend: bool) -> None:
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    try:
        begun = json.loads(read_regular(path / NOTE))
        store, protocol, keys = begun["store"], begun["protocol"], set(begun["trainings"])
        begun_search = None if begun.get("search") is None else dict(begun["search"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        if path.is_dir() and {item.name for item in path.iterdir()} <= {LOCK}:
            return
        if (path / CELLS).is_dir():
            raise CamoeError(
                f"{path / NOTE} is damaged or gone, and nothing else says which store and grid this is of; restore it, "
                "or give another --out"
            ) from None
        raise CamoeError(f"{path} is not a sweep's folder and is left alone; give another --out") from None
    for what, was, now in (
        ("a store with content hash", store, plan.store.content_hash),
        ("protocol", protocol, plan.protocol),
    ):
        if was != now:
            told = f"{what} {short_hash(str(was))}, not {short_hash(now)}"
            raise CamoeError(f"{path} was begun with {told}; give another --out")
    if extend:
        return
    if begun_search != search:
        raise CamoeError(
            f"{path} was begun with {_other_search(begun_search, search)}; keep what both have with --extend, or give "
            "another --out"
        )
    asked = set(plan.runs)
    if search is None and keys != asked:
        raise CamoeError(
            f"{path} was begun with another grid: {counted(len(keys & asked), 'training run')} in common, "
            f"{len(asked - keys)} new, {len(keys - asked)} gone; keep what both have with --extend, or give another "
            "--out"
        )


def _other_search(begun: Note | None, search: Note | None) -> str:
    if begun is None or search is None:
        return "a grid, not a search" if begun is None else "a search, not a grid"
    return f"another {next((name for name in search if search[name] != begun.get(name)), 'kind of')} of the search"


def _note(plan: Plan, search: Note | None) -> Note:
    return ({} if search is None else {"search": search}) | {
        "grid": plan.sweep.name,
        "store": plan.store.content_hash,
        "protocol": plan.protocol,
        "seeds": list(plan.sweep.seeds),
        "tags": list(plan.tags),
        "trainings": {key: run.name for key, run in plan.runs.items()},
    }
