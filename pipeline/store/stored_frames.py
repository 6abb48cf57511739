"""The frames of a store read row by row when they are asked for, where all of them would fill the memory.

Frames are not compressed, so each row lies in one piece somewhere in its file: HDF5 tells where when the store is
opened, and a row is then one read. HDF5's checksums, which cover a megabyte each, are not looked at; `camoe-store
verify` does that. The files stay open, so that a store that is replaced meanwhile is still read as it was.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from .reader import FeatureStore
from .safe_open import StoreError, child_group, open_hdf5
from .schema import broken_rows
from .shard import video_dataset


class StoredFrames:
    """`frames[rows]` are those of some videos, `(B, T, D)` in the order of the store's `video_ids`.

    Raises `StoreError` for rows that cannot be read or are not finite.
    """

    def __init__(self, store: FeatureStore) -> None:
        self._ids, self._places = store.video_ids, store.video_places
        self._shards = [_RowFile.open(store.shards[number].path) for number in range(len(store.shards))]
        used = [self._shards[number] for number in np.unique(self._places[:, 0])]
        self.shape = (len(self._ids), *used[0].row_shape)
        if other := next((shard for shard in used if shard.row_shape != used[0].row_shape), None):
            raise StoreError(f"{other.path}: its frames are {other.row_shape}, those of {used[0].path} are not")

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        found = np.stack([self._shards[number].row(row) for number, row in self._places[rows].tolist()])
        if len(broken := broken_rows(found)):
            video_id = self._ids[int(rows[broken[0]])]
            raise StoreError(f"the frames of {video_id!r} are not finite; extract that video again")
        return found


@dataclass(frozen=True, eq=False)
class _RowFile:
    """One file, opened; `offsets` says where each piece of `piece` rows begins."""

    path: Path
    descriptor: int
    offsets: np.ndarray
    piece: int
    count: int
    row_shape: tuple[int, ...]
    dtype: np.dtype

    @classmethod
    def open(cls, path: Path) -> _RowFile:
        with open_hdf5(path) as file:
            if "videos" not in file:
                return cls(path, -1, np.empty(0, np.int64), 1, 0, (), np.dtype(np.float16))
            dataset = video_dataset(child_group(file, "videos"), "frames")
            piece, offsets = _pieces(path, dataset)
            opened = cls(
                path,
                os.dup(file.id.get_vfd_handle()),
                offsets,
                piece,
                len(dataset),
                tuple(dataset.shape[1:]),
                dataset.dtype,
            )
        weakref.finalize(opened, os.close, opened.descriptor)
        return opened

    def row(self, number: int) -> np.ndarray:
        size = int(np.prod(self.row_shape)) * self.dtype.itemsize
        start = int(self.offsets[number // self.piece]) + number % self.piece * size
        content = os.pread(self.descriptor, size, start)
        if len(content) != size:
            raise StoreError(f"{self.path} is shorter than it was when it was opened; restore it")
        return np.frombuffer(content, self.dtype).reshape(self.row_shape)


def _pieces(path: Path, dataset: h5py.Dataset) -> tuple[int, np.ndarray]:
    """How many rows lie together, and where in the file each such piece begins."""
    if dataset.chunks is None:
        return max(1, len(dataset)), np.array([dataset.id.get_offset() or 0], np.int64)
    filters = dataset.id.get_create_plist()
    kinds = {filters.get_filter(number)[0] for number in range(filters.get_nfilters())}
    if kinds - {h5py.h5z.FILTER_FLETCHER32} or dataset.chunks[1:] != dataset.shape[1:]:
        raise StoreError(f"{path}: its frames are compressed or in columns; camoe-store merge writes them anew")
    piece = dataset.chunks[0]
    offsets = np.full(-(-len(dataset) // piece), -1, np.int64)

    def note(chunk: Sequence[int]) -> None:
        offsets[chunk.chunk_offset[0] // piece] = chunk.byte_offset  # type: ignore[attr-defined]

    dataset.id.chunk_iter(note)
    if (offsets < 0).any():
        raise StoreError(f"{path}: pieces of its frames are missing; restore it")
    return piece, offsets
