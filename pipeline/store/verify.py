"""Is a store what was written? Checksums of the files first, then every byte of data.

A damaged HDF5 file may crash or stall the library that opens it; so a shard's checksum is compared before it is
opened, and it is opened in a process of its own, under a time limit.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..checksum import file_sha256
from ..errors import CamoeError
from ..wording import counted
from .content import add_sums, captions_sum, table_sum, tokens_sum, videos_sum
from .manifest import FOLDER_MANIFEST, check_manifest, manifest_path, read_manifest
from .place import Place
from .plan import Plan, shard_name
from .reader import FeatureStore, find_shards
from .safe_open import StoreError, checked_dataset, child_group, decode_strings, open_hdf5
from .schema import TextName, Videos
from .shard import VIDEO_COLUMNS, read_captions, read_index, read_text_table, video_dataset
from .tokens import read_tokens

_BLOCK_ROWS = 1024
_SECONDS, _SECONDS_PER_BYTE = 60.0, 2e-7
"""Time that a shard is given: a minute, and as if it were read at 5 MB/s."""


def verify_store(paths: Sequence[Path], on_shard: Callable[[Path, list[str]], None] = lambda *_: None) -> list[str]:
    """Problems of the store at `paths`, each a sentence that names shard and data set, the plan or the checksums; none
    when it is sound.

    `on_shard` is told of each shard's own problems as it is done. Raises `StoreError` when there is no store at all.
    """
    shards = find_shards(paths)
    problems = [*_damaged_manifests(paths, shards), *_missing_shards(paths), *_damaged_plans(paths)]
    for shard in shards:
        found = verify_shard(shard)
        on_shard(shard, found)
        problems += found
    if not problems:
        try:
            store = FeatureStore.open(shards)
            for name in store.text_names:
                store.text_table(*name)
            if store.has_word_tokens:
                _ = store.word_tokens
        except StoreError as error:
            problems.append(str(error))
    return problems


def unfinished(paths: Sequence[Path]) -> list[str]:
    """What a store still lacks of its plan, in sentences: no damage, for the same command goes on with it."""
    remarks = []
    for place in _planned(paths):
        try:
            chunks = Plan.read(place).chunks
        except CamoeError:
            continue
        names = [shard_name(chunk) for chunk in chunks]
        left = [name for name in names if not (place.folder / name).exists()]
        if left:
            are = "is" if len(left) == 1 else "are"
            remarks.append(
                f"{place.plan}: {len(left)} of {counted(len(names), 'planned shard')} {are} not made yet (first: "
                f"{left[0]}); the same camoe-extract command goes on with them"
            )
    return remarks


def _planned(paths: Sequence[Path]) -> list[Place]:
    """Where there is a plan."""
    places = [Place.of(path) for path in paths if path.exists()]
    return [place for place in places if os.path.lexists(place.plan)]


def _damaged_plans(paths: Sequence[Path]) -> Iterator[str]:
    for place in _planned(paths):
        try:
            Plan.read(place)
        except CamoeError as error:
            yield str(error)


def _damaged_manifests(paths: Sequence[Path], shards: Sequence[Path]) -> Iterator[str]:
    folders = [path / FOLDER_MANIFEST for path in paths if path.is_dir()]
    for manifest in dict.fromkeys([*folders, *map(manifest_path, shards)]):
        try:
            check_manifest(manifest)
        except CamoeError as error:
            yield str(error)


def _listed(manifest: Path) -> dict[str, str]:
    """What can be read of the checksums; that a manifest is damaged is told once, not for each shard."""
    try:
        return read_manifest(manifest)
    except CamoeError:
        return {}


def is_listed(shard: Path) -> bool:
    """Whether a manifest holds the shard's checksum."""
    return shard.name in _listed(manifest_path(shard))


def _missing_shards(paths: Sequence[Path]) -> list[str]:
    folders = [path for path in paths if path.is_dir()]
    return [
        f"{folder / name} is listed in {FOLDER_MANIFEST} and missing"
        for folder in folders
        for name in _listed(folder / FOLDER_MANIFEST)
        if not (folder / name).exists()
    ]


def verify_shard(path: Path) -> list[str]:
    """Problems of one shard: its checksum, then all its data, read in another process."""
    manifest = manifest_path(path)
    listed = _listed(manifest).get(path.name)
    changed = listed is not None and listed != file_sha256(path)
    problems = _in_own_process(path)
    if changed and not problems:
        problems = [f"{path}: all data can be read, so the damage lies between them"]
    if changed:
        problems.insert(0, f"{path} is not the file that {manifest.name} lists (SHA-256 differs)")
    return problems


def _in_own_process(path: Path) -> list[str]:
    context = multiprocessing.get_context("fork")
    receive, send = context.Pipe(duplex=False)
    child = context.Process(target=_report, args=(path, send), daemon=True)
    child.start()
    send.close()
    try:
        if receive.poll(_SECONDS + path.stat().st_size * _SECONDS_PER_BYTE):
            found: list[str] = receive.recv()
            return found
        return [f"{path}: reading it does not come to an end; its structure is damaged"]
    except EOFError:
        return [f"{path}: reading it ends the process; its structure is damaged"]
    finally:
        child.kill()
        child.join()


def _report(path: Path, send: Connection) -> None:
    send.send(list(read_everything(path)))


def read_everything(path: Path) -> Iterator[str]:
    """Read all data of a shard and compare its content sums; yields the problems."""
    try:
        index = read_index(path)
    except StoreError as error:
        yield str(error)
        yield from _unreadable(path)
        return
    broken = list(_unreadable(path))
    yield from broken
    if broken:
        return
    checks: list[tuple[str, Callable[[], str]]] = []
    if "videos" in index.sums:
        checks.append(("videos", lambda: _videos_sum(path)))
    if index.kind != "frames":
        checks.append(("captions", lambda: captions_sum(read_captions(path))))
    for name in index.text_names:
        checks.append(("/".join(name), lambda name=name: _table_sum(path, name)))  # type: ignore[misc]
    if index.has_tokens:
        checks.append(("tokens", lambda: tokens_sum(read_captions(path), read_tokens(path))))
    for what, compute in checks:
        try:
            if compute() != index.sums[what]:
                yield f"{path}: {what} are not what was written (their content sum differs)"
        except StoreError as error:
            yield str(error)


def _unreadable(path: Path) -> Iterator[str]:
    """The data sets that cannot be read to their ends."""
    try:
        with open_hdf5(path) as file:
            names: list[str] = []
            file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    except StoreError:
        return
    for name in names:
        group, _, column = name.rpartition("/")
        try:
            with open_hdf5(path) as file:
                dataset = checked_dataset(file[group], column, file[name].dtype.kind, file[name].ndim)
                for start in range(0, len(dataset), _BLOCK_ROWS):
                    _ = dataset[start : start + _BLOCK_ROWS]
        except StoreError as error:
            text = str(error)
            yield text if f"/{name} " in text else f"{path}: /{name} cannot be read: {_reason(error)}"


def _reason(error: StoreError) -> str:
    cause = error.__cause__
    return str(cause).splitlines()[0] if cause is not None and str(cause) else "it is damaged"


def _videos_sum(path: Path) -> str:
    sums = []
    with open_hdf5(path) as file:
        group = child_group(file, "videos")
        columns = {name: video_dataset(group, name) for name in VIDEO_COLUMNS}
        for start in range(0, len(columns["id"]), _BLOCK_ROWS):
            rows = np.s_[start : start + _BLOCK_ROWS]
            values: dict[str, Any] = {name: dataset[rows] for name, dataset in columns.items()}
            values |= {name: decode_strings(values[name]) for name in ("id", "source", "status", "fingerprint")}
            sums.append(videos_sum(Videos(**values)))
    return add_sums(sums)


def _table_sum(path: Path, name: TextName) -> str:
    return table_sum(read_captions(path), name, read_text_table(path, name))
