"""Several shards as one file, copied block by block."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..atomic import atomic_path, fsync
from .content import add_sums, captions_sum
from .manifest import file_sha256
from .reader import FeatureStore
from .safe_open import checked_dataset, child_group, open_hdf5
from .shard import VIDEO_COLUMNS
from .writer import write_attribute, write_captions, write_column, write_settings, write_table

_BLOCK_BYTES = 16 << 20


class GuardedFile(io.RawIOBase):
    """A file for HDF5 to write to that never fails under it.

    HDF5 neither reports a full disk reliably nor survives it; so the first error is kept here, what follows is thrown
    away, and `close` raises it.
    """

    def __init__(self, path: Path) -> None:
        self._file = open(path, "w+b", buffering=0)  # noqa: SIM115 (closed by `close`)
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        view = memoryview(data)
        try:
            while self.error is None and view:
                view = view[self._file.write(view) :]
        except OSError as error:
            self.error = error
        return len(data)

    def readinto(self, buffer: Any) -> int:
        done = 0
        view = memoryview(buffer)
        while done < len(view) and (count := self._file.readinto(view[done:])):
            done += count
        return done

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def truncate(self, size: int | None = None) -> int:
        try:
            return self._file.truncate(size)
        except OSError as error:
            self.error = self.error or error
            return size or 0

    def flush(self) -> None:
        pass

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def close(self) -> None:
        if not self._file.closed:
            self._file.close()
            super().close()
            if self.error is not None:
                raise self.error


def merge_shards(
    parts: Sequence[Path], target: Path, before_publishing: Callable[[str], None] = lambda digest: None
) -> str:
    """Write one file with everything in `parts`, videos sorted by id; returns its SHA-256.

    `before_publishing` is called with the SHA-256 when all is written, just before `target` gets its name.

    Memory holds one block of frames and one text table at a time. Raises `StoreError` when the parts do not belong
    together and `OSError` when the disk refuses; `target` is then as it was.
    """
    store = FeatureStore.open(list(parts))
    with atomic_path(target) as temporary:
        guarded = GuardedFile(temporary)
        try:
            with h5py.File(guarded, "w", libver=("v110", "v110")) as file:
                _write_merged(file, store)
        finally:
            guarded.close()
        digest = file_sha256(temporary)
        fsync(temporary)
        before_publishing(digest)
    return digest


def _write_merged(file: h5py.File, store: FeatureStore) -> None:
    kinds = {shard.kind for shard in store.shards}
    write_settings(file, store.settings, kinds.pop() if len(kinds) == 1 else "both")
    if store.video_ids:
        _copy_videos(file.create_group("videos"), store)
    if store.has_captions:
        captions = store.captions
        write_captions(file, captions, captions_sum(captions))
        file.create_group("texts")
        for name in store.text_names:
            write_table(file, name, store.text_table(*name), captions, store.text_notes.get("/".join(name), {}))


def _copy_videos(group: h5py.Group, store: FeatureStore) -> None:
    holders = [shard for shard in store.shards if shard.video_ids]
    write_attribute(group, "content_sum", add_sums([shard.sums["videos"] for shard in holders]))
    for name, (_, rank) in VIDEO_COLUMNS.items():
        if rank == 1:
            write_column(group, name, store.video_column(name))
    place = {
        video_id: (number, row) for number, shard in enumerate(holders) for row, video_id in enumerate(shard.video_ids)
    }
    rows = np.array([place[video_id] for video_id in store.video_ids])
    paths = [shard.path for shard in holders]
    for name, (_, rank) in VIDEO_COLUMNS.items():
        if rank > 1:
            target = write_column(group, name, _read_rows(paths, name, rows[:1]), total=len(rows))
            chunk = target.chunks[0]
            step = chunk * max(1, _BLOCK_BYTES * len(rows) // (chunk * target.nbytes))
            for start in range(0, len(rows), step):
                target[start : start + step] = _read_rows(paths, name, rows[start : start + step])


def _read_rows(paths: Sequence[Path], name: str, rows: np.ndarray) -> np.ndarray:
    """Rows, each given as (part, row in it), in their order."""
    result: np.ndarray | None = None
    for number in np.unique(rows[:, 0]):
        here = np.flatnonzero(rows[:, 0] == number)
        wanted = rows[here, 1]
        with open_hdf5(paths[number]) as file:
            dataset = checked_dataset(child_group(file, "videos"), name, *VIDEO_COLUMNS[name])
            if result is None:
                result = np.empty((len(rows), *dataset.shape[1:]), dataset.dtype)
            for run in np.split(np.arange(len(wanted)), np.flatnonzero(np.diff(wanted) != 1) + 1):
                result[here[run]] = dataset[wanted[run[0]] : wanted[run[-1]] + 1]
    assert result is not None
    return result
