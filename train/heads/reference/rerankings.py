"""Recorded cases of re-rankings: which of ours each is.

To check a re-ranking, write a function of a `Case` that returns `Computed` (outputs by their recorded names, as float64
tensors) and give it a line in `RERANKINGS`; a case without one counts as not implemented.
"""

from __future__ import annotations

from .cases import Compute

RERANKINGS: dict[str, tuple[str, Compute]] = {}
"""By the name of a case, or the beginning of it up to `_`: our option's name, and what computes it."""
