"""Modules built for their shapes alone: tensors without memory, which are not filled."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

_FILLING = ("normal_", "uniform_", "triu_", "fill_")
_SCALING = ("mul", "__mul__", "__rmul__")


@contextmanager
def unfilled() -> Iterator[None]:
    """Tensors that are made in here are on `meta`: they have a shape, and cost neither memory nor time.

    Whoever builds a model to load a file into it, builds it so.
    """
    with torch.device("meta"), _NothingDrawn():
        yield


class _NothingDrawn(TorchFunctionMode):
    """Tensors are not filled, nor scaled: on `meta` even that imports PyTorch's compiler, which takes seconds."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name, options = getattr(func, "__name__", ""), kwargs or {}
        if func is torch.randn:
            return torch.empty(*args, **options)
        if func is torch.eye:
            return _square(*args, **options)
        tensors = [value for value in (*args, *options.values()) if isinstance(value, Tensor)]
        if name in _FILLING or (name in _SCALING and len(tensors) == 1):
            return tensors[0]
        return func(*args, **options)


def _square(rows: int, columns: int | None = None, *, out: Tensor | None = None, **kind: Any) -> Tensor:
    return torch.empty(rows, rows if columns is None else columns, **kind) if out is None else out
