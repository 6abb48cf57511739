"""Several stores written as one: a single file, or a folder that holds their shards."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ..atomic import remove_leftovers
from ..checksum import file_sha256
from ..errors import CamoeError, RunStoppedError
from ..writable import check_writable
from .build import StoreBuilder
from .failures import write_failures
from .manifest import manifest_path, read_manifest, write_manifest
from .place import SINGLE_SUFFIXES, Place
from .place_name import check_store_name
from .reader import FeatureStore, find_shards
from .schema import Removed, Shard, no_videos
from .single_file import write_single_file


def merge_stores(paths: Sequence[Path], out: Path) -> FeatureStore:
    """Write the store `out` from all shards of `paths`; returns it.

    Raises `CamoeError` when `out` exists or the parts do not belong together, and `RunStoppedError` when the disk
    refuses; nothing is left then.
    """
    check_store_name(out)
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise CamoeError(f"{out} exists already; give a new --out")
    check_writable(out)
    shards = find_shards(paths)
    store = FeatureStore.open(shards)
    if store.has_captions:
        _ = store.captions
    _refuse_damaged(shards)
    remove_leftovers(out)
    if out.suffix in SINGLE_SUFFIXES:
        _merge_to_file(store, shards, Place.of(out))
    else:
        _merge_to_folder(store, out)
    return FeatureStore.open(out)


def _refuse_damaged(shards: Sequence[Path]) -> None:
    """A shard is copied as it is, so it must be the one that was written."""
    for shard in shards:
        manifest = manifest_path(shard)
        listed = read_manifest(manifest).get(shard.name)
        if listed is not None and listed != file_sha256(shard):
            raise CamoeError(
                f"{shard} is not the file that {manifest.name} lists (SHA-256 differs); restore it, or see what is "
                "damaged with camoe-store verify"
            )


def _merge_to_file(store: FeatureStore, shards: Sequence[Path], place: Place) -> None:
    def beside(digest: str) -> None:
        write_manifest(place.manifest, {place.out.name: digest})
        write_failures(place.failures, store.failures)

    try:
        with place.locked():
            try:
                if place.out.exists():
                    raise CamoeError(f"{place.out} exists already; give a new --out")
                place.tidy()
                write_single_file(shards, place.out, beside)
            finally:
                place.leave()
    except OSError as error:
        for path in (place.manifest, place.failures):
            path.unlink(missing_ok=True)
        is_full = error.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
        remedy = "make room and try again" if is_full else "give another --out"
        raise RunStoppedError(f"{place.out} could not be written ({error.strerror}); {remedy}") from error


def _merge_to_folder(store: FeatureStore, out: Path) -> None:
    """Shards are copied as they are; where some of what they hold no longer counts, all is written anew."""
    temporary = out.with_name(f"{out.name}.tmp.{os.getpid()}")
    try:
        with StoreBuilder(temporary, store.settings) as builder:
            if any(shard.removed != Removed() for shard in store.shards):
                _write_anew(store, builder)
            else:
                for shard in store.shards:
                    builder.adopt(shard.kind, shard.path)
                if not any(shard.failures for shard in store.shards) and store.failures:
                    builder.publish(_only_failures(store))
            builder.finish()
        os.replace(temporary, out)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if isinstance(error, OSError) and error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise CamoeError(f"{out} exists already; give a new --out") from None
        raise


def _write_anew(store: FeatureStore, builder: StoreBuilder) -> None:
    whole = builder.place.folder / "both-00000.h5"
    write_single_file([shard.path for shard in store.shards], whole)
    builder.count(whole)


def _only_failures(store: FeatureStore) -> Shard:
    settings = replace(store.settings, streams=None, strategies=None, tagger=None, captions_sha256=None)
    return Shard(settings, videos=no_videos(settings), failures=tuple(store.failures.values()))
