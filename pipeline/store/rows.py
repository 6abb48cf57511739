"""Rows of several shards, gathered into one array."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from .safe_open import StoreError, child_group, open_hdf5
from .shard import video_dataset
from .strings import Strings

_BLOCK_BYTES = 16 << 20


def gather_rows(paths: Sequence[Path], name: str, places: np.ndarray) -> np.ndarray:
    """The column `name` of `/videos` at `places (N, 2)`, each a shard's number in `paths` and a row in it.

    A shard is read once, block by block. Raises `StoreError` where columns of the shards do not fit each other.
    """
    result: np.ndarray | None = None
    for number in np.unique(places[:, 0]):
        targets = np.flatnonzero(places[:, 0] == number)
        with open_hdf5(paths[number]) as file:
            dataset = video_dataset(child_group(file, "videos"), name)
            rows = places[targets, 1]
            if int(rows.max()) >= len(dataset):
                raise StoreError(f"{paths[number]} has changed while it was read; open the store again")
            if result is None:
                result = np.empty((len(places), *dataset.shape[1:]), dataset.dtype)
            if result.shape[1:] != dataset.shape[1:]:
                raise StoreError(
                    f"{paths[number]}: {name} of /videos has rows of {dataset.shape[1:]}, those of {paths[0]} have "
                    f"{result.shape[1:]}"
                )
            if dataset.dtype.itemsize > result.dtype.itemsize:
                result = result.astype(dataset.dtype)
            _read_into(result, dataset, rows, targets)
    assert result is not None
    return result


def rows_of(dataset: h5py.Dataset, rows: np.ndarray) -> np.ndarray:
    """Some rows of a data set, in that order, without the rest of it where that lies apart."""
    if len(rows) and int(rows.max()) >= len(dataset):
        raise StoreError(f"{dataset.file.filename} has changed while it was read; open the store again")
    result = np.empty((len(rows), *dataset.shape[1:]), dataset.dtype)
    _read_into(result, dataset, rows, np.arange(len(rows)))
    return result


@dataclass(frozen=True)
class StackedTexts:
    """A column of text of several files, one below the other; called with rows, or `None` for all, it reads them.

    File `n` holds the rows from `starts[n]` on. Where `chosen` is given, only those count, in that order.
    """

    paths: Sequence[Path]
    dataset: Callable[[h5py.File], h5py.Dataset]
    starts: np.ndarray
    chosen: np.ndarray | None = None

    def __call__(self, rows: np.ndarray | None) -> Strings:
        if rows is None and self.chosen is None:
            return Strings.joined([self._read(number, None) for number in range(len(self.paths))])
        rows = self.chosen if rows is None else rows if self.chosen is None else self.chosen[rows]
        assert rows is not None
        numbers = np.searchsorted(self.starts, rows, "right") - 1
        order = np.argsort(numbers, kind="stable")
        used, begins = np.unique(numbers[order], return_index=True)
        found = Strings.joined(
            [
                self._read(number, rows[mine] - self.starts[number])
                for number, mine in zip(used.tolist(), np.split(order, begins[1:]), strict=False)
            ]
        )
        if (order[1:] > order[:-1]).all():
            return found
        back = np.empty(len(order), np.int64)
        back[order] = np.arange(len(order))
        return found.take(back)

    def _read(self, number: int, rows: np.ndarray | None) -> Strings:
        with open_hdf5(self.paths[number]) as file:
            dataset = self.dataset(file)
            if rows is None:
                return Strings.of(dataset[()])
            distinct, inverse = np.unique(rows, return_inverse=True)
            found = Strings.of(rows_of(dataset, distinct))
            return found if len(distinct) == len(rows) and (inverse[1:] > inverse[:-1]).all() else found.take(inverse)


def _read_into(result: np.ndarray, dataset: h5py.Dataset | np.ndarray, rows: np.ndarray, targets: np.ndarray) -> None:
    """`result[targets] = dataset[rows]`, straight into place where both lie in one piece."""
    if (
        len(rows) > 1
        and (np.diff(rows) == 1).all()
        and (np.diff(targets) == 1).all()
        and hasattr(dataset, "read_direct")
    ):
        dataset.read_direct(result, np.s_[rows[0] : rows[-1] + 1], np.s_[targets[0] : targets[-1] + 1])
        return
    order = np.argsort(rows, kind="stable")
    rows, targets = rows[order], targets[order]
    step = max(1, _BLOCK_BYTES // max(1, result[:1].nbytes))
    chunks = getattr(dataset, "chunks", None)
    piece = chunks[0] if chunks else step
    gaps = np.append(1 + np.flatnonzero(np.diff(rows) > piece), len(rows))
    start = 0
    while start < len(rows):
        end = int(min(np.searchsorted(rows, rows[start] + step), gaps[np.searchsorted(gaps, start, "right")]))
        first = int(rows[start])
        block = dataset[first : int(rows[end - 1]) + 1]
        result[targets[start:end]] = block[rows[start:end] - first]
        start = end
