"""Recorded cases of re-rankings, which `pipeline.reranking.published` computes from arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch

from ....pipeline.reranking.published import CASES, NOT_COPIED
from .cases import Case, Compute, Computed

Arrays = Mapping[str, np.ndarray]
Rerank = Callable[[Arrays, Arrays], dict[str, np.ndarray]]

RERANKINGS: dict[str, tuple[str, Rerank]] = CASES
"""By the name of a case, or the beginning of it up to `_`: our option's name, and what computes its outputs."""


def computing(rerank: Rerank) -> Compute:
    """The function as the check calls it."""

    def compute(case: Case) -> Computed:
        given, param = ({name: _array(value) for name, value in part.items()} for part in (case.input, case.param))
        found = {name: torch.from_numpy(np.asarray(value)) for name, value in rerank(given, param).items()}
        return Computed(found, left_out=dict.fromkeys(NOT_COPIED, "an accident of the published code"))

    return compute


def _array(value: torch.Tensor) -> np.ndarray:
    found: np.ndarray = value.detach().numpy().copy()
    return found
