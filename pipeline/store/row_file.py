"""Rows of large arrays, read from their files one by one when they are asked for.

Floats are not compressed, so a row lies in one piece somewhere in its file: HDF5 tells where when the file is opened,
and a row is then one read, which takes no memory but its own. HDF5's checksums, which cover a megabyte each, are not
looked at; `camoe-store verify` does that. The files stay open, so that a store that is replaced meanwhile is still read
as it was. What another program has compressed or laid out in columns is read by HDF5, slowly.
"""

from __future__ import annotations

import math
import os
import resource
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from .safe_open import StoreError, checked_dataset, child_group, open_hdf5

_READ_BYTES = 4 << 20
"""The most that is read at once."""
_SPARE_FILES = 64


class StoredRows:
    """Rows of the data set `place`, such as `("videos", "frames")`, of several files; all rows are of one shape.

    `dtype` is float16, or where some file keeps wider floats, theirs. Raises `StoreError` where the files do not fit.
    """

    def __init__(self, paths: Sequence[Path], place: Sequence[str], ndim: int) -> None:
        _allow_files(len(paths))
        self._files = [_RowFile.open(path, place, ndim) for path in paths]
        self.row_shape = self._files[0].row_shape
        self.dtype = np.result_type(np.float16, *(file.dtype for file in self._files))
        if other := next((file for file in self._files if file.row_shape != self.row_shape), None):
            name = "/".join(place)
            raise StoreError(
                f"{other.path}: /{name} has rows of {other.row_shape}, those of {paths[0]} have {self.row_shape}"
            )

    def read(self, files: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """`(B, …)`: row `rows[i]` of file `files[i]`; raises `StoreError` for a file that is shorter than it was."""
        found = np.empty((len(rows), *self.row_shape), self.dtype)
        for number in np.unique(files).tolist():
            targets = np.flatnonzero(files == number)
            self._files[number].read(rows[targets], found, targets)
        return found


@dataclass(frozen=True, eq=False)
class _RowFile:
    """One file's data set; `offsets` says where each piece of `piece` rows begins, none where HDF5 must read them."""

    path: Path
    place: Sequence[str]
    descriptor: int
    offsets: np.ndarray | None
    piece: int
    row_shape: tuple[int, ...]
    dtype: np.dtype

    @classmethod
    def open(cls, path: Path, place: Sequence[str], ndim: int) -> _RowFile:
        with open_hdf5(path) as file:
            dataset = _dataset(file, place, ndim)
            piece, offsets = _pieces(path, dataset)
            descriptor = os.dup(file.id.get_vfd_handle())
            opened = cls(path, place, descriptor, offsets, piece, tuple(dataset.shape[1:]), dataset.dtype)
        weakref.finalize(opened, os.close, opened.descriptor)
        return opened

    def read(self, rows: np.ndarray, found: np.ndarray, targets: np.ndarray) -> None:
        """`found[targets] = these rows`; rows that lie together and belong together are read at once."""
        if self.offsets is None:
            self._read_packed(rows, found, targets)
            return
        size = math.prod(self.row_shape) * self.dtype.itemsize
        pieces, inner = np.divmod(rows, self.piece)
        starts = self.offsets[pieces] + inner * size
        apart = np.flatnonzero((np.diff(starts) != size) | (np.diff(targets) != 1)) + 1
        most = max(1, _READ_BYTES // max(1, size))
        runs = [
            (begin, min(most, end - begin))
            for first, end in zip([0, *apart.tolist()], [*apart.tolist(), len(rows)], strict=True)
            for begin in range(first, end, most)
        ]
        if len(runs) > 1 and hasattr(os, "posix_fadvise"):  # the disk gets all at once, and answers in its own order
            for begin, count in runs:
                os.posix_fadvise(self.descriptor, int(starts[begin]), count * size, os.POSIX_FADV_WILLNEED)
        for begin, count in runs:
            content = os.pread(self.descriptor, count * size, int(starts[begin]))
            if len(content) != count * size:
                raise StoreError(f"{self.path} is shorter than it was when it was opened; restore it")
            values = np.frombuffer(content, self.dtype).reshape(count, *self.row_shape)
            found[int(targets[begin]) : int(targets[begin]) + count] = values

    def _read_packed(self, rows: np.ndarray, found: np.ndarray, targets: np.ndarray) -> None:
        with open_hdf5(self.path) as file:
            dataset = _dataset(file, self.place, 1 + len(self.row_shape))
            for place in np.argsort(rows, kind="stable").tolist():
                found[targets[place]] = dataset[int(rows[place])]


def _allow_files(more: int) -> None:
    """Let the process keep so many more files open; raises `StoreError` where the system has it otherwise."""
    needed = len(os.listdir("/dev/fd")) + more + _SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or needed <= soft:
        return
    if hard != resource.RLIM_INFINITY and needed > hard:
        raise StoreError(
            f"the store has more files than this process may keep open ({hard}); join them into one file with "
            "camoe-store merge"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def _dataset(file: h5py.File, place: Sequence[str], ndim: int) -> h5py.Dataset:
    group: h5py.Group | None = file
    for name in place[:-1]:
        group = child_group(group, name) if group is not None else None
    return checked_dataset(group, place[-1], "f", ndim)


def _pieces(path: Path, dataset: h5py.Dataset) -> tuple[int, np.ndarray | None]:
    """How many rows lie together, and where in the file each such piece begins; nowhere, if it is packed."""
    if dataset.chunks is None:
        return max(1, len(dataset)), np.array([dataset.id.get_offset() or 0], np.int64)
    filters = dataset.id.get_create_plist()
    kinds = {filters.get_filter(number)[0] for number in range(filters.get_nfilters())}
    if kinds - {h5py.h5z.FILTER_FLETCHER32} or dataset.chunks[1:] != dataset.shape[1:]:
        return 1, None
    piece = dataset.chunks[0]
    offsets = np.full(-(-len(dataset) // piece), -1, np.int64)

    def note(chunk: Sequence[int]) -> None:
        offsets[chunk.chunk_offset[0] // piece] = chunk.byte_offset  # type: ignore[attr-defined]

    dataset.id.chunk_iter(note)
    if (offsets < 0).any():
        raise StoreError(f"{path}: pieces of {dataset.name} are missing; restore it")
    return piece, offsets
