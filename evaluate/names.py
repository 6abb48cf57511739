"""The names that evaluation goes by: directions, metrics, re-rankings and what each of these needs.

Plain values, so that a command can list them without loading torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..pipeline.reranking.kinds import A_BANK, NOTHING
from ..pipeline.reranking.kinds import RERANKINGS as RERANKINGS

SUBSET_NAMES = ("train", "val", "test")
DIRECTIONS = ("t2v", "v2t")
HEADINGS = {"t2v": "text to video", "v2t": "video to text"}
V2T_NAMES = ("c4c", "ce")
"""Conventions of video-to-text, see `camoe.pipeline.ranking`."""
METRICS = ("R@1", "R@5", "R@10", "MdR", "MnR")
"""The columns of tables; a result holds R@50 too."""
LOWER_IS_BETTER = ("MdR", "MnR")
SEARCH_SIZES = (1_000, 100_000)
"""Videos that a query is compared with where the cost of a search is measured."""
COSTS = ("parameters", "seconds", *(f"ms a query, {size:,} videos" for size in SEARCH_SIZES), "bytes a video")
"""The columns of tables of cost."""

NONE, QUERY_BANK = "none", "querybank"
ONE_QUERY = tuple(name for name, kind in RERANKINGS.items() if kind.needs in (NOTHING, A_BANK))
"""Re-rankings of a query alone: with a bank of training captions at most, so that a search can use them."""


@dataclass(frozen=True)
class Reranking:
    """One re-ranking as it is asked for. `label` tells it from another with other options; `options` by name.

    `beta`, in logit units, is None for QB-Norm's 20 on cosines.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", self.label or self.name)
