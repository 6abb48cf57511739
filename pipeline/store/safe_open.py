"""Opening HDF5 files from elsewhere: they are data, and may be hostile or damaged.

Only the schema's own paths are opened, through hard links; external storage, virtual data sets, types that point
elsewhere and sizes that the file cannot hold are refused before any of it is read.
"""

from __future__ import annotations

import json
import math
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..errors import CamoeError
from ..file_kinds import HDF5, file_kind

_MAX_CHUNK_BYTES = 64 << 20
_MAX_ATTRIBUTE_BYTES = 16 << 20
_SLACK_BYTES = 64 << 20
_MAX_RATIO = {"S": 64, "i": 64, "u": 64, "f": 1}
"""How many times the whole file's size one data set may unfold to, beyond `_SLACK_BYTES`; floats are not compressed."""

_FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}
_KINDS = {"S": "strings", "i": "integers", "u": "integers", "f": "floating-point numbers"}
TEXT_ERRORS = "surrogatepass"
"""Any Python string is kept, also a file name that is not valid UTF-8."""


class StoreError(CamoeError):
    """A file that is not a feature store, or not a sound one."""


@contextmanager
def open_hdf5(path: Path) -> Iterator[h5py.File]:
    """An HDF5 file for reading; whatever HDF5 finds wrong while it is open becomes a `StoreError`."""
    _check_regular(path)
    try:
        with h5py.File(path, "r", locking=False) as file:
            yield file
    except StoreError:
        raise
    except CamoeError as error:
        raise StoreError(f"{path}: {error}") from None
    except (OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError, ArithmeticError) as error:
        if isinstance(error, LookupError | TypeError | AttributeError) and not _is_from_h5py(error):
            raise
        if _is_something_else(path):
            kind = file_kind(path)
            told = f" (it is {kind})" if kind is not None else ""
            raise StoreError(f"{path} is not a feature store{told}; give one that camoe-extract wrote") from error
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise StoreError(
            f"{path} cannot be read as a feature store ({reason}); restore it or run camoe-extract again, "
            "once it and its line in SHA256SUMS are deleted"
        ) from error


def _is_something_else(path: Path) -> bool:
    """Whether a file never was a store; one that is named as a store may have lost its beginning."""
    kind = file_kind(path)
    return kind not in (None, HDF5) if path.suffix in (".h5", ".hdf5") else not h5py.is_hdf5(path)


def _is_from_h5py(error: BaseException) -> bool:
    """Whether h5py raised it, which means damage; else it is a mistake of our own, which nothing should hide."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and "h5py" in Path(trace.tb_frame.f_code.co_filename).parts


def _check_regular(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise StoreError(f"{path} cannot be read ({error.strerror}); give a store that camoe-extract wrote") from None
    if not stat.S_ISREG(mode):
        raise StoreError(f"{path} is not a regular file; give a store that camoe-extract wrote")


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


def checked_dataset(parent: h5py.Group | None, name: str, kinds: str, ndim: int = 1) -> h5py.Dataset:
    """A data set that lies in the file itself, is whole, and is of the expected type and rank."""
    if parent is None:
        raise StoreError(f"the group of data set {name} is missing; the file is not a whole feature store")
    dataset = _hard_child(parent, name)
    where = f"{parent.file.filename}: {parent.name.rstrip('/')}/{name}"
    if not isinstance(dataset, h5py.Dataset):
        raise StoreError(f"{where} is missing; the file is not a whole feature store")
    if dataset.external or dataset.is_virtual:
        raise StoreError(f"{where} takes its data from other files, which a store never does; do not trust this file")
    plain = dataset.dtype.kind in kinds and dataset.dtype.itemsize > 0 and dataset.dtype.isnative
    if not plain or dataset.ndim != ndim:
        raise StoreError(
            f"{where} should hold {_KINDS[kinds[0]]} of rank {ndim}, not {dataset.dtype} of rank {dataset.ndim}"
        )
    _check_filters(dataset, where)
    _check_size(dataset, where)
    return dataset


def decode_strings(values: np.ndarray) -> list[str]:
    """A column of bytes as text, decoded at one go where no value holds a NUL."""
    encoded = values.tolist()
    decoded = b"\0".join(encoded).decode("utf-8", TEXT_ERRORS).split("\0")
    if len(decoded) == len(encoded):
        return decoded
    return [value.decode("utf-8", TEXT_ERRORS) for value in encoded]


def read_strings(parent: h5py.Group, name: str) -> list[str]:
    """A column of text."""
    return decode_strings(read_column(parent, name, "S"))


def read_attribute(place: h5py.Group | h5py.Dataset, name: str, default: Any = None) -> Any:
    """A text or a number; `default` where there is none."""
    if not has_attribute(place, name):
        return default
    attribute = h5py.h5a.open(place.id, name.encode())
    if attribute.shape != () or attribute.dtype.kind not in "Siuf":
        raise StoreError(f"{place.file.filename}: the attribute {name} of {place.name} is not a text or a number")
    if attribute.dtype.itemsize > _MAX_ATTRIBUTE_BYTES:
        raise StoreError(f"{place.file.filename}: the attribute {name} of {place.name} is absurdly large")
    value = np.empty((), attribute.dtype)
    attribute.read(value)
    found = value.item()
    return found.decode("utf-8", TEXT_ERRORS) if isinstance(found, bytes) else found


def has_attribute(place: h5py.Group | h5py.Dataset, name: str) -> bool:
    """Whether there is one of that name."""
    return bool(h5py.h5a.exists(place.id, name.encode()))


def read_json_attribute(place: h5py.Group | h5py.Dataset, name: str, kind: type) -> Any:
    """An attribute that holds JSON of one `kind`, by default an empty one."""
    text = read_attribute(place, name)
    try:
        value = kind() if text is None else json.loads(str(text))
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, kind):
        raise StoreError(f"{place.file.filename}: the attribute {name} of {place.name} is not a {kind.__name__}")
    return value


def _hard_child(parent: h5py.Group, name: str) -> Any:
    encoded = name.encode("utf-8", TEXT_ERRORS)
    if not parent.id.links.exists(encoded):
        return None
    if parent.id.links.get_info(encoded).type != h5py.h5l.TYPE_HARD:
        raise StoreError(
            f"{parent.file.filename}: {parent.name.rstrip('/')}/{name} is a link to elsewhere, "
            "which a store never holds; do not trust this file"
        )
    return parent[name]


def _check_filters(dataset: h5py.Dataset, where: str) -> None:
    plan = dataset.id.get_create_plist()
    for index in range(plan.get_nfilters()):
        if plan.get_filter(index)[0] not in _FILTERS:
            raise StoreError(f"{where} is packed by an unknown filter; do not trust this file")


def _check_size(dataset: h5py.Dataset, where: str) -> None:
    """What the header declares must really be there: allocated chunks of bounded size, or the bytes themselves."""
    limit = _SLACK_BYTES + Path(dataset.file.filename).stat().st_size * _MAX_RATIO[dataset.dtype.kind]
    if dataset.nbytes > limit:
        sound = False
    elif dataset.chunks is None:
        sound = dataset.id.get_storage_size() == dataset.nbytes
    else:
        expected = math.prod(math.ceil(size / chunk) for size, chunk in zip(dataset.shape, dataset.chunks, strict=True))
        chunk_bytes = math.prod(dataset.chunks) * dataset.dtype.itemsize
        sound = dataset.id.get_num_chunks() == expected and chunk_bytes <= _MAX_CHUNK_BYTES
    if not sound:
        raise StoreError(
            f"{where} declares {dataset.nbytes:,} bytes that the file does not hold; do not trust this file"
        )
