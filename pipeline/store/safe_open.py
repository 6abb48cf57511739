"""Opening HDF5 files from elsewhere: they are data, and may be hostile or damaged.

Only the schema's own paths are opened, through hard links; external storage, virtual data sets, types that point
elsewhere and sizes that the file cannot hold are refused before any of it is read.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..errors import CamoeError

_MAX_CHUNK_BYTES = 64 << 20
_KINDS = {"S": "strings", "i": "integers", "u": "integers", "f": "floating-point numbers"}


class StoreError(CamoeError):
    """A file that is not a feature store, or not a sound one."""


@contextmanager
def open_hdf5(path: Path) -> Iterator[h5py.File]:
    """An HDF5 file for reading; whatever HDF5 finds wrong while it is open becomes a `StoreError`."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            yield file
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError) as error:
        if isinstance(error, OSError) and error.errno is not None and not path.exists():
            raise StoreError(f"{path} does not exist; give a store that camoe-extract wrote") from None
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise StoreError(
            f"{path} cannot be read as a feature store ({reason}); restore it or run camoe-extract again"
        ) from error


def child_group(parent: h5py.Group, name: str) -> h5py.Group | None:
    """The group `name` of `parent`, or `None`; refuses links that are not hard."""
    item = _hard_child(parent, name)
    if item is not None and not isinstance(item, h5py.Group):
        raise StoreError(f"{parent.file.filename}: {item.name} should be a group; the file is not a sound store")
    return item


def read_column(parent: h5py.Group, name: str, kinds: str, ndim: int = 1) -> np.ndarray:
    """All of a data set whose type is one of numpy's `kinds`, after `checked_dataset`."""
    values: np.ndarray = checked_dataset(parent, name, kinds, ndim)[()]
    return values


def checked_dataset(parent: h5py.Group, name: str, kinds: str, ndim: int = 1) -> h5py.Dataset:
    """A data set that lies in the file itself, is whole, and is of the expected type and rank."""
    dataset = _hard_child(parent, name)
    where = f"{parent.file.filename}: {parent.name.rstrip('/')}/{name}"
    if not isinstance(dataset, h5py.Dataset):
        raise StoreError(f"{where} is missing; the file is not a whole feature store")
    if dataset.external or dataset.is_virtual:
        raise StoreError(f"{where} takes its data from other files, which a store never does; do not trust this file")
    if dataset.dtype.kind not in kinds or dataset.ndim != ndim:
        raise StoreError(
            f"{where} should hold {_KINDS[kinds[0]]} of rank {ndim}, not {dataset.dtype} of rank {dataset.ndim}"
        )
    _check_size(dataset, where)
    return dataset


def read_strings(parent: h5py.Group, name: str) -> list[str]:
    """A column of text."""
    return [value.decode() for value in read_column(parent, name, "S").tolist()]


def read_attribute(place: h5py.Group | h5py.Dataset, name: str, default: Any = None) -> Any:
    """An attribute as plain Python; `default` where there is none."""
    if name not in place.attrs:
        return default
    value = place.attrs[name]
    if isinstance(value, bytes | np.bytes_):
        return value.decode()
    return value.item() if isinstance(value, np.generic) else value


def _hard_child(parent: h5py.Group, name: str) -> Any:
    link = parent.get(name, getlink=True)
    if link is None:
        return None
    if not isinstance(link, h5py.HardLink):
        raise StoreError(
            f"{parent.file.filename}: {parent.name.rstrip('/')}/{name} is a link to elsewhere, "
            "which a store never holds; do not trust this file"
        )
    return parent[name]


def _check_size(dataset: h5py.Dataset, where: str) -> None:
    """What the header declares must really be there: allocated chunks of bounded size, or the bytes themselves."""
    if dataset.chunks is None:
        sound = dataset.id.get_storage_size() == dataset.nbytes
    else:
        expected = math.prod(math.ceil(size / chunk) for size, chunk in zip(dataset.shape, dataset.chunks, strict=True))
        chunk_bytes = math.prod(dataset.chunks) * dataset.dtype.itemsize
        sound = dataset.id.get_num_chunks() == expected and chunk_bytes <= _MAX_CHUNK_BYTES
    if not sound:
        raise StoreError(
            f"{where} declares {dataset.nbytes:,} bytes that the file does not hold; do not trust this file"
        )
