"""Rows of several shards, gathered into one array."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from .safe_open import StoreError, child_group, open_hdf5
from .shard import video_dataset

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
    start = 0
    while start < len(rows):
        end = int(np.searchsorted(rows, rows[start] + step))
        first = int(rows[start])
        block = dataset[first : int(rows[end - 1]) + 1]
        result[targets[start:end]] = block[rows[start:end] - first]
        start = end
