"""Pickles from the internet, read without running what they ask for."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any, NoReturn

from ...pipeline.errors import CamoeError

MAX_BYTES = 256 << 20
MAX_LEAVES = 5_000_000
MAX_DEPTH = 8


class _Plain(pickle._Unpickler):
    """Numbers, strings, lists, tuples, dictionaries. The Python implementation, since the C one allocates whatever
    memo index a pickle names."""

    def find_class(self, module: str, name: str) -> NoReturn:
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")

    def persistent_load(self, pid: Any) -> NoReturn:
        raise pickle.UnpicklingError("it refers to objects outside itself")


def load_plain_pickle(path: Path) -> Any:
    """What a pickle of built-in values holds; text of Python 2 counts as text.

    Raises `CamoeError` if it asks for code, is no pickle, or unfolds to more than five million values.
    """
    if path.stat().st_size > MAX_BYTES:
        raise CamoeError(f"{path.name} has more than {MAX_BYTES} bytes and is not read")
    try:
        content = _Plain(io.BytesIO(path.read_bytes()), encoding="utf-8", errors="replace").load()
    except pickle.UnpicklingError as error:
        raise CamoeError(f"{path.name} is not a plain pickle and is not read: {error}") from error
    except Exception as error:
        raise CamoeError(f"{path.name} is not a readable pickle ({type(error).__name__}: {error})") from error
    _check(content, path)
    return content


def _check(content: Any, path: Path) -> None:
    """Shared references let a few hundred bytes stand for 2^41 values: count before anything walks them."""
    left = MAX_LEAVES
    level: list[Any] = [content]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for value in level:
            children = [*value, *value.values()] if isinstance(value, dict) else value
            if isinstance(children, (list, tuple, set, frozenset)):
                left -= len(children)
                if left < 0:
                    raise CamoeError(f"{path.name} unfolds to more than {MAX_LEAVES} values and is not read")
                below.extend(children)
        level = below
        if not level:
            return
    raise CamoeError(f"{path.name} is nested more than {MAX_DEPTH} levels deep and is not read")
