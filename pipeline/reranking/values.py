"""What re-rankings ask of their numbers, and how sharply scores are read."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from ..arrays import ArrayT, like, matrix
from ..errors import ArrayError


def finite(values: ArrayT, name: str = "sim") -> torch.Tensor:
    """A matrix of finite numbers in float64."""
    tensor = matrix(values, name).to(torch.float64)
    if not tensor.isfinite().all():
        raise ArrayError(f"{name} contains infinite values; re-ranking needs finite scores")
    return tensor


def positive(value: float, name: str) -> float:
    """A finite number above 0."""
    number = float(value)
    if not (math.isfinite(number) and number > 0):
        raise ArrayError(f"{name} is {value}; choose a positive number")
    return number


def whole(value: int, name: str, most: int | None = None, why: str = "") -> int:
    """A whole number from 1, or from 1 to `most`."""
    is_whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not is_whole or value < 1 or (most is not None and value > most):
        bound = "" if most is None else f" to {most}, {why}"
        raise ArrayError(f"{name} is {value!r}; choose a whole number from 1{bound}")
    return int(value)


@dataclass(frozen=True)
class Sharpness:
    """Scores are multiplied by a `factor`: a beta, or 1 / a temperature; `complaint` is of one that is too sharp."""

    factor: float
    complaint: str

    @classmethod
    def temperature(cls, value: float) -> Sharpness:
        return cls(1 / positive(value, "the temperature"), f"a temperature of {value} is too small")

    @classmethod
    def beta(cls, value: float, name: str = "the query bank's beta") -> Sharpness:
        return cls(positive(value, name), f"{name} of {value} is too large")

    def of(self, scores: torch.Tensor) -> torch.Tensor:
        """A new tensor; raises ArrayError where a score is not finite any more."""
        sharp = scores * self.factor
        low, high = torch.aminmax(sharp)
        if not (low.isfinite() and high.isfinite()):
            raise ArrayError(self._complaint(scores))
        return sharp

    def _complaint(self, scores: torch.Tensor) -> str:
        if not scores.isfinite().all():
            return "the scores contain NaN or infinite values; re-ranking needs finite scores. Is the model broken?"
        return f"{self.complaint} for scores up to {scores.abs().max():g}"


def restore(result: torch.Tensor, sim: ArrayT) -> ArrayT:
    """Back to the library and precision of `sim`; whole numbers become float64."""
    if isinstance(sim, torch.Tensor):
        return result.to(sim.dtype) if sim.is_floating_point() else result
    dtype = np.asarray(sim).dtype
    return like(result, sim).astype(dtype if dtype.kind == "f" else np.float64, copy=False)
