"""Several shards as one file, copied block by block."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..atomic import atomic_path
from .content import add_sums, captions_sum
from .manifest import file_sha256
from .reader import FeatureStore
from .safe_open import checked_dataset, child_group, open_hdf5
from .writer import write_attribute, write_captions, write_column, write_settings, write_table

_BLOCK = 256
_VIDEO_COLUMNS = {
    "id": "S", "source": "S", "status": "S", "source_size": "i", "source_mtime": "f",
    "duration_s": "f", "frame_count": "i",
}  # fmt: skip


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


def merge_shards(parts: Sequence[Path], target: Path) -> str:
    """Write one file with everything in `parts`, videos sorted by id; returns its SHA-256.

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
        return file_sha256(temporary)


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
            write_table(file, name, store.text_table(*name), captions.id, store.text_notes.get("/".join(name), {}))


def _copy_videos(group: h5py.Group, store: FeatureStore) -> None:
    holders = [shard for shard in store.shards if shard.video_ids]
    write_attribute(group, "content_sum", add_sums([shard.sums["videos"] for shard in holders]))
    for name, kind in _VIDEO_COLUMNS.items():
        write_column(group, name, store.video_column(name, kind))
    place = {
        video_id: (number, row) for number, shard in enumerate(holders) for row, video_id in enumerate(shard.video_ids)
    }
    rows = np.array([place[video_id] for video_id in store.video_ids])
    for name, ndim in (("frames", 3), ("frame_time_s", 2)):
        target: h5py.Dataset | None = None
        for start in range(0, len(rows), _BLOCK):
            block = _read_rows([shard.path for shard in holders], name, ndim, rows[start : start + _BLOCK])
            if target is None:
                target = write_column(group, name, block, total=len(rows))
            target[start : start + len(block)] = block


def _read_rows(paths: Sequence[Path], name: str, ndim: int, rows: np.ndarray) -> np.ndarray:
    """Rows, each given as (part, row in it), in their order."""
    result: np.ndarray | None = None
    for number in np.unique(rows[:, 0]):
        here = np.flatnonzero(rows[:, 0] == number)
        wanted = rows[here, 1]
        with open_hdf5(paths[number]) as file:
            dataset = checked_dataset(child_group(file, "videos"), name, "f", ndim)
            low = int(wanted.min())
            values = dataset[low : int(wanted.max()) + 1][wanted - low]
        if result is None:
            result = np.empty((len(rows), *values.shape[1:]), values.dtype)
        result[here] = values
    assert result is not None
    return result
