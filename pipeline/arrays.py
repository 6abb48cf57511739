"""Arrays of either library, NumPy's or torch's: in as tensors, checked, and out as they came."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch

from .errors import ArrayError

ArrayT = TypeVar("ArrayT", np.ndarray, torch.Tensor)
EXACT_DTYPES = (torch.float32, torch.float64)


def as_tensor(values: np.ndarray | torch.Tensor, name: str) -> torch.Tensor:
    """The values as a float32 or float64 tensor without loss (half precision is widened); shares memory if it
    can."""
    if not isinstance(values, torch.Tensor):
        array = np.asarray(values)
        if array.dtype.kind not in "biuf":
            raise ArrayError(f"{name} holds {array.dtype} values; pass real numbers")
        if array.dtype not in (np.float16, np.float32, np.float64) or not array.dtype.isnative:
            array = array.astype(np.float64)
        array = np.ascontiguousarray(array)
        values = torch.from_numpy(array if array.flags.writeable else array.copy())
    elif values.is_complex():
        raise ArrayError(f"{name} holds {values.dtype} values; pass real numbers")
    tensor = values.detach()
    if tensor.dtype in EXACT_DTYPES:
        return tensor
    return tensor.to(torch.float32 if tensor.is_floating_point() else torch.float64)


def matrix(values: np.ndarray | torch.Tensor, name: str = "sim") -> torch.Tensor:
    """A non-empty 2-D tensor without NaN, or an ArrayError that says what is wrong."""
    tensor = as_tensor(values, name)
    if tensor.ndim != 2 or tensor.numel() == 0:
        raise ArrayError(f"{name} has shape {tuple(tensor.shape)}; pass a matrix with at least one row and column")
    if tensor.isnan().any():
        raise ArrayError(
            f"{name} contains {int(tensor.isnan().sum())} NaN of {tensor.numel()} values; is the model broken?"
        )
    return tensor


def like(result: torch.Tensor, original: ArrayT) -> ArrayT:
    """`result` in the library of `original` (and on its device), with `result`'s own dtype."""
    if isinstance(original, torch.Tensor):
        return result.to(original.device)
    return result.cpu().numpy()
