"""What a training run of a sweep came to: the record and the ranks behind its two files."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...pipeline.record import Record, apart
from ..metrics import takes_lower_median
from ..result import Metrics, MetricsPair
from ..scored import Ranks

OK, FAILED = "ok", "failed"
TRIED, PRUNED = "tried", "pruned"
"""Of a search's trial, which is scored on val alone: trained to its end, or given up on the way."""
RAW = ("none", None)


@dataclass(frozen=True)
class Result(Record):
    """One training run. `metrics` and `ranks` go by re-ranking (`reranking_name`), on the test captions.

    `best` is the chosen epoch's row, `curve` every epoch's; `validation` is the mean of both directions' R@1 on
    `validation_videos` val videos by re-ranking, the raw one being what chose the epoch. `owner (M,)` tells each test
    caption's video. A run that failed has a `reason` and nothing else. `code` names the code that made it.
    """

    key: str
    status: str
    settings: dict[str, Any]
    seed: int
    reason: str = ""
    best: dict[str, int | float] = field(default_factory=dict)
    curve: tuple[dict[str, int | float], ...] = ()
    validation: dict[str, float] = field(default_factory=dict)
    metrics: dict[str, MetricsPair] = field(default_factory=dict)
    parameters: int = 0
    seconds: float = 0.0
    together: int = 1
    """How many runs were trained as one ensemble with this one."""
    note: str = ""
    """What a reader should know of how it was trained."""
    validation_videos: int | None = None
    code: str = ""
    ranks: dict[str, Ranks] = apart(dict)
    owner: np.ndarray = apart(lambda: np.empty(0, np.int64))

    @property
    def selection(self) -> float:
        """The validation score that the epoch was chosen by; NaN without validation captions."""
        return float(self.best.get("R@1", float("nan")))

    @property
    def videos(self) -> int:
        """How many test videos it was ranked on."""
        return len(next(iter(self.ranks.values())).v2t) if self.ranks else 0


def reranking_name(reranking: tuple[str, float | None]) -> str:
    """`none`, `dsl 1`."""
    name, temperature = reranking
    return name if temperature is None else f"{name} {temperature:g}"


def check_sound(result: Result) -> None:
    """Raise `ValueError` where the parts of a finished run contradict each other."""
    if result.status not in (OK, TRIED, PRUNED, FAILED):
        raise ValueError(f"its status is {result.status[:40]!r}")
    if result.status == TRIED and not {"epoch", "R@1"} <= result.best.keys():
        raise ValueError("its best epoch is missing")
    if result.status != OK:
        return
    if "none" not in result.metrics or result.metrics.keys() != result.ranks.keys():
        raise ValueError("its ranks are of other re-rankings than its numbers")
    if result.validation and result.validation.keys() != result.metrics.keys():
        raise ValueError("its validation numbers are of other re-rankings than those on test")
    if "epoch" not in result.best or any(not {"epoch", "R@1"} <= row.keys() for row in result.curve[1:]):
        raise ValueError("its epochs are incomplete")
    lower = takes_lower_median(result.owner)
    sizes = len(result.owner), len(np.unique(result.owner))
    for name, ranks in result.ranks.items():
        if (len(ranks.t2v), len(ranks.v2t)) != sizes:
            raise ValueError(f"its ranks under {name} are of other queries")
        if MetricsPair(Metrics.of(ranks.t2v, lower_median=lower), Metrics.of(ranks.v2t)) != result.metrics[name]:
            raise ValueError(f"its numbers under {name} are not those of its ranks")
