"""Recorded cases of re-rankings: which of ours each is.

To check a re-ranking, write a function of the inputs and the parameters of a case, arrays by their recorded names, that
gives its outputs as arrays by theirs, and give it a line in `RERANKINGS`. A case without one counts as not implemented.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch

from .cases import Case, Compute, Computed

Arrays = Mapping[str, np.ndarray]
Rerank = Callable[[Arrays, Arrays], dict[str, np.ndarray]]

RERANKINGS: dict[str, tuple[str, Rerank]] = {}
"""By the name of a case, or the beginning of it up to `_`: our option's name, and what computes it."""
LEFT_OUT = {
    "db_norm_as_published_ignoring_similarity": "the published code normalises the bank, not the scores",
}
"""Outputs that are errors of the published code, and what they are."""


def computing(rerank: Rerank) -> Compute:
    """The function as the check calls it."""

    def compute(case: Case) -> Computed:
        given, param = ({name: _array(value) for name, value in part.items()} for part in (case.input, case.param))
        found = {name: torch.from_numpy(np.asarray(value)) for name, value in rerank(given, param).items()}
        return Computed(found, left_out=LEFT_OUT)

    return compute


def _array(value: torch.Tensor) -> np.ndarray:
    found: np.ndarray = value.detach().numpy().copy()
    return found
