"""Several stores as one: a single file, or a folder that holds their shards."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from ..errors import CamoeError, RunStoppedError
from .build import SINGLE_SUFFIXES, StoreBuilder
from .failures import FAILED, Failure, failures_path, read_failures, write_failures
from .manifest import write_manifest
from .merge import merge_shards
from .reader import FeatureStore, find_shards


def join_stores(paths: Sequence[Path], out: Path) -> FeatureStore:
    """Write the store `out` from all shards of `paths`; returns it.

    Raises `CamoeError` when `out` exists or the parts do not belong together, and `RunStoppedError` when the disk
    refuses; nothing is left then.
    """
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise CamoeError(f"{out} exists already; give a new --out")
    shards = find_shards(paths)
    store = FeatureStore.open(shards)
    if store.has_captions:
        _ = store.captions
    failures = _joined_failures([*paths, *shards], store)
    if out.suffix in SINGLE_SUFFIXES:
        _join_file(shards, out, failures)
    else:
        _join_folder(store, out, failures)
    return FeatureStore.open(out)


def _joined_failures(paths: Sequence[Path], store: FeatureStore) -> dict[str, Failure]:
    """Rows of all parts, but for videos that one of them has after all."""
    found: dict[str, Failure] = {}
    for path in dict.fromkeys(failures_path(path) for path in paths):
        found |= read_failures(path)
    have = set(store.video_ids)
    return {name: failure for name, failure in found.items() if failure.stage != FAILED or name not in have}


def _join_file(shards: Sequence[Path], out: Path, failures: dict[str, Failure]) -> None:
    try:
        digest = merge_shards(shards, out)
        write_manifest(out.with_name(out.name + ".sha256"), {out.name: digest})
        write_failures(out.with_name(f"{out.stem}.failures.csv"), failures)
    except OSError as error:
        raise RunStoppedError(f"{out} could not be written ({error.strerror})") from error


def _join_folder(store: FeatureStore, out: Path, failures: dict[str, Failure]) -> None:
    temporary = out.with_name(f"{out.name}.tmp.{os.getpid()}")
    try:
        with StoreBuilder(temporary, store.settings) as builder:
            for shard in store.shards:
                builder.adopt(shard.kind, shard.path)
            for failure in failures.values():
                builder.record(failure)
            builder.finish()
        os.replace(temporary, out)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
