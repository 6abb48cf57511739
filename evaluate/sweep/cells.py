"""The results under a sweep's folder: two files a training run, `KEY.json` and the ranks in `KEY.npz`.

Both are whole or absent: the record is written last and holds the SHA-256 of the ranks and of itself.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...pipeline.atomic import write_atomic
from ...pipeline.errors import CamoeError
from ...pipeline.json_text import read_json
from ...pipeline.regular import read_regular
from ...pipeline.store.layouts import needed, read_npz
from ..names import DIRECTIONS
from ..scored import Ranks
from .code import code_version
from .result import OK, Result, check_sound

SUMS = ("ranks_sha256", "sha256")
"""Keys of the file that are no part of the result."""
UNREADABLE = (OSError, ValueError, RuntimeError, EOFError, SyntaxError, zipfile.BadZipFile, zlib.error, struct.error)
"""What a damaged JSON or npz can end in, in the libraries that read them."""


class Cells:
    """Results by key."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, key: str) -> Result | None:
        """A finished or failed run, none where there is none.

        Raises `CamoeError` naming the file where it is damaged: cut off, altered, or of another run.
        """
        path = self.folder / f"{key}.json"
        if not path.exists():
            return None
        with _told_of(path):
            values = read_json(path)
            if not isinstance(values, dict):
                raise ValueError(f"it holds a {type(values).__name__}")
            sums = {name: values.pop(name, None) for name in SUMS}
            if sums["sha256"] is not None and sums["sha256"] != _sum_of(values, sums["ranks_sha256"]):
                raise ValueError("its SHA-256 is another one")
            result = Result.from_json(values)
            if result.key != key:
                raise ValueError(f"it is the record of {result.key[:40]!r}")
            if result.status == OK:
                result = self._with_ranks(result, sums["ranks_sha256"])
            check_sound(result)
        return result

    def _with_ranks(self, result: Result, ranks_sha256: str | None) -> Result:
        path = self.folder / f"{result.key}.npz"
        if not path.exists():
            raise CamoeError(f"{path} is missing")
        with _told_of(path):
            if ranks_sha256 not in (None, hashlib.sha256(read_regular(path)).hexdigest()):
                raise ValueError("its SHA-256 is another one")
            arrays = {name: _whole(array, name) for name, array in read_npz(path).items()}
            ranks = {
                name: Ranks(*(needed(arrays, path, f"{name}/{side}") for side in DIRECTIONS)) for name in result.metrics
            }
            return replace(result, ranks=ranks, owner=needed(arrays, path, "owner"))

    def write(self, result: Result) -> Result:
        """Publish the arrays, then the record that makes them count; returns the result with the code that made it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        result = replace(result, code=code_version())
        values, ranks_sha256 = result.to_json(), None
        if result.status == OK:
            packed = io.BytesIO()
            np.savez_compressed(packed, **dict(_named_ranks(result)), owner=result.owner)  # type: ignore[arg-type]
            write_atomic(self.folder / f"{result.key}.npz", packed.getvalue())
            ranks_sha256 = hashlib.sha256(packed.getvalue()).hexdigest()
        values |= {"ranks_sha256": ranks_sha256, "sha256": _sum_of(values, ranks_sha256)}
        write_atomic(self.folder / f"{result.key}.json", json.dumps(values, indent=1) + "\n")
        return result


@contextmanager
def _told_of(path: Path) -> Iterator[None]:
    """What is wrong with a file, as a `CamoeError` that names it."""
    try:
        yield
    except CamoeError:
        raise
    except UNREADABLE as error:
        raise CamoeError(f"{path} is damaged ({' '.join(str(error).split())[:300]})") from None


def _named_ranks(result: Result) -> Iterator[tuple[str, np.ndarray]]:
    for name, ranks in result.ranks.items():
        for direction in DIRECTIONS:
            yield f"{name}/{direction}", ranks[direction]


def _sum_of(values: dict[str, Any], ranks_sha256: str | None) -> str:
    return hashlib.sha256(json.dumps([values, ranks_sha256], sort_keys=True).encode()).hexdigest()


def _whole(array: np.ndarray, name: str) -> np.ndarray:
    """Whole numbers `(Q,)`."""
    if array.ndim != 1 or array.dtype.kind not in "iu" or not len(array):
        raise ValueError(f"its array {name} is {array.dtype} {array.shape}")
    return array.astype(np.int64)
