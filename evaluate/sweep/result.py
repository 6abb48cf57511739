"""What a training run of a sweep came to, and the folder where results lie: two files a run, whole or absent."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...pipeline.atomic import write_atomic

OK, FAILED = "ok", "failed"
RAW = ("none", None)
Metrics = dict[str, float]


@dataclass
class Result:
    """One training run. `metrics` and `ranks` go by re-ranking (`reranking_name`) and direction, on the test captions.

    `best` is the chosen epoch's row, `curve` every epoch's; `validation` is the mean of both directions' R@1 on val by
    re-ranking, the raw one being what chose the epoch. `ranks` are int64 arrays as in `Ranks`; `owner (M,)` tells
    each test caption's video. A run that failed has a `reason` and nothing else.
    """

    key: str
    status: str
    settings: dict[str, Any]
    seed: int
    reason: str = ""
    best: dict[str, Any] = field(default_factory=dict)
    curve: list[dict[str, Any]] = field(default_factory=list)
    validation: dict[str, float] = field(default_factory=dict)
    metrics: dict[str, dict[str, Metrics]] = field(default_factory=dict)
    parameters: int = 0
    seconds: float = 0.0
    together: int = 1
    """How many runs were trained as one ensemble with this one."""
    note: str = ""
    """What a reader should know of how it was trained."""
    ranks: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    owner: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))

    @property
    def selection(self) -> float:
        """The validation score that the epoch was chosen by; NaN without validation captions."""
        return float(self.best.get("R@1", float("nan")))


def reranking_name(reranking: tuple[str, float | None]) -> str:
    """`none`, `dsl 1`."""
    name, temperature = reranking
    return name if temperature is None else f"{name} {temperature:g}"


class Results:
    """The results under a sweep's folder, by key."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, key: str) -> Result | None:
        """A finished or failed run; none where there is none, or its files are not sound."""
        try:
            values = json.loads((self.folder / f"{key}.json").read_text(encoding="utf-8"))
            result = Result(**values)
            if result.status == OK:
                with np.load(self.folder / f"{key}.npz", allow_pickle=False) as arrays:
                    result.owner = arrays["owner"]
                    result.ranks = {
                        name: {direction: arrays[f"{name}/{direction}"] for direction in result.metrics[name]}
                        for name in result.metrics
                    }
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return result if result.key == key else None

    def write(self, result: Result) -> None:
        """Publish the arrays, then the record that makes them count."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if result.status == OK:
            arrays = dict(_named_ranks(result)) | {"owner": result.owner}
            packed = io.BytesIO()
            np.savez_compressed(packed, **arrays)  # type: ignore[arg-type]
            write_atomic(self.folder / f"{result.key}.npz", packed.getvalue())
        values = asdict(result)
        del values["ranks"], values["owner"]
        write_atomic(self.folder / f"{result.key}.json", json.dumps(values, indent=1) + "\n")


def _named_ranks(result: Result) -> Iterator[tuple[str, np.ndarray]]:
    for name, directions in result.ranks.items():
        for direction, ranks in directions.items():
            yield f"{name}/{direction}", ranks
