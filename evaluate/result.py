"""What an evaluation found: the records behind `evaluation/<store>-<protocol>-<subset>.json`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ..pipeline.atomic import write_atomic
from ..pipeline.errors import CamoeError
from ..pipeline.json_text import read_json
from ..pipeline.record import Record, named
from ..pipeline.writable import check_writable
from .metrics import summarise_ranks
from .names import DIRECTIONS
from .significance import Difference, Interval

__all__ = ["DIRECTIONS", "FOLDER", "Evaluation", "Metrics", "read_evaluation", "store_name", "write_json"]

FOLDER = "evaluation"


@dataclass(frozen=True)
class Metrics(Record):
    """R@K in percent, the median and the mean rank; `metrics["R@1"]` reads one by its usual name."""

    recall_at_1: float = named("R@1")
    recall_at_5: float = named("R@5")
    recall_at_10: float = named("R@10")
    recall_at_50: float = named("R@50")
    median_rank: float = named("MdR")
    mean_rank: float = named("MnR")

    @classmethod
    def of(cls, ranks: np.ndarray, *, lower_median: bool = False) -> Metrics:
        """Of ranks (Q,) from 1; raises `ValueError` as `summarise_ranks`."""
        return cls.from_json(summarise_ranks(ranks, lower_median=lower_median))


@dataclass(frozen=True)
class MetricsPair(Record):
    """The numbers of both directions."""

    t2v: Metrics
    v2t: Metrics


@dataclass(frozen=True)
class PerDirection(Record):
    """One number a direction."""

    t2v: float
    v2t: float


@dataclass(frozen=True)
class MetricIntervals(Record):
    """`(low, high)` of each metric, 95 %."""

    recall_at_1: tuple[float, float] = named("R@1")
    recall_at_5: tuple[float, float] = named("R@5")
    recall_at_10: tuple[float, float] = named("R@10")
    recall_at_50: tuple[float, float] = named("R@50")
    median_rank: tuple[float, float] = named("MdR")
    mean_rank: tuple[float, float] = named("MnR")

    @classmethod
    def of(cls, found: dict[str, Interval]) -> MetricIntervals:
        """By metric, as `bootstrap_intervals` returns them."""
        return cls(*((found[key].low, found[key].high) for key in cls.json_keys()))


@dataclass(frozen=True)
class Intervals(Record):
    """Of both directions."""

    t2v: MetricIntervals
    v2t: MetricIntervals


@dataclass(frozen=True)
class RerankingResult(Record):
    """The numbers under one re-ranking; `transductive` ones need all queries at once.

    `options` are what they depend on besides the scores; `hubness` is the skewness of the 10-occurrence.
    """

    t2v: Metrics
    v2t: Metrics
    transductive: bool
    options: dict[str, Any]
    hubness: PerDirection | None
    intervals: Intervals | None


@dataclass(frozen=True)
class Cost(Record):
    """What the run costs: numbers that are learnt, seconds of training, bytes that an index keeps of a video, and where
    it was measured, `milliseconds` of comparing one query with so many videos.

    `extrapolated` names the sizes that were more than what was measured. `bytes_per_video` is none where no query can
    be scored alone, so that no search uses the model.
    """

    parameters: int
    train_seconds: float
    bytes_per_video: int | None
    milliseconds: dict[str, float] | None = None
    extrapolated: tuple[str, ...] = ()


@dataclass(frozen=True)
class TrainingFacts(Record):
    """What the run was trained with; a loss only where there is one. `selection` is the epoch that was chosen."""

    model: str
    loss: str | None
    loss_temperature: float | None
    streams: dict[str, str]
    shuffle_frames: bool
    seed: int
    selection: dict[str, Any]
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class StoreFacts(Record):
    """The store that was evaluated, and the content hash of the one that the run was `trained_on`.

    `made_otherwise` holds, by setting, what the run was trained with and what this store has.
    """

    name: str
    content_hash: str
    trained_on: str
    clip_model: str
    clip_sha256: str
    made_otherwise: dict[str, tuple[Any, Any]] = field(default_factory=dict)

    @property
    def own(self) -> bool:
        """Whether the run was trained on it."""
        return self.content_hash == self.trained_on


@dataclass(frozen=True)
class Gap(Record):
    """Raw R@1 (percent) on equally many `train` and `val` videos."""

    videos: int
    train: PerDirection
    val: PerDirection


@dataclass(frozen=True)
class MetricDifferences(Record):
    """This run minus the other, of each metric."""

    recall_at_1: Difference = named("R@1")
    recall_at_5: Difference = named("R@5")
    recall_at_10: Difference = named("R@10")
    recall_at_50: Difference = named("R@50")
    median_rank: Difference = named("MdR")
    mean_rank: Difference = named("MnR")

    @classmethod
    def of(cls, found: dict[str, Difference]) -> MetricDifferences:
        """By metric, as `paired_bootstrap` returns them."""
        return cls(*(found[key] for key in cls.json_keys()))


@dataclass(frozen=True)
class Differences(Record):
    """Of both directions."""

    t2v: MetricDifferences
    v2t: MetricDifferences


@dataclass(frozen=True)
class Comparison(Record):
    """The other run's numbers on the same queries, and the differences by re-ranking."""

    run: str
    training: TrainingFacts
    rerankings: dict[str, RerankingResult]
    differences: dict[str, Differences]
    unlike: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    """By setting, what this run was trained with and what the other one was."""


@dataclass(frozen=True)
class BatchRecalls(Record):
    """R@1 by how many queries are asked at once: `1`, `10`, `100`, `all`."""

    t2v: dict[str, float]
    v2t: dict[str, float]


@dataclass(frozen=True)
class RepeatedRecall(Record):
    """R@1 of a query that is asked once, and 100 times."""

    alone: float
    repeated: float


@dataclass(frozen=True)
class RepeatedRecalls(Record):
    """Of either direction."""

    t2v: RepeatedRecall
    v2t: RepeatedRecall


@dataclass(frozen=True)
class TwoCaptions(Record):
    """R@1 of captions that are asked alone, and beside a second caption of their video."""

    one: float
    two: float


@dataclass(frozen=True)
class QueryCounts(Record):
    """How many queries a direction has."""

    t2v: int
    v2t: int


@dataclass(frozen=True)
class Stress(Record):
    """R@1 under the stresses of `stress.py`, by re-ranking; `two_captions` is None where no video has two."""

    queries: QueryCounts
    repeated_queries: QueryCounts
    batches: dict[str, BatchRecalls]
    repeated: dict[str, RepeatedRecalls]
    two_captions: dict[str, TwoCaptions] | None


@dataclass(frozen=True)
class Evaluation(Record):
    """One run on one subset of one store; `docs/evaluation.md` describes every field, which are the JSON's.

    `rerankings` has `none` first; `left_out` says why one that was asked is not there.
    """

    run: str
    training: TrainingFacts
    store: StoreFacts
    protocol: str
    subset: str
    v2t: str
    captions: int
    videos: int
    missing_captions: int
    shortfall: dict[str, Any]
    rerankings: dict[str, RerankingResult]
    left_out: dict[str, str] = field(default_factory=dict)
    gap: Gap | None = None
    comparison: Comparison | None = None
    stress: Stress | None = None
    ties: str = "last"
    cost: Cost | None = None

    @property
    def path(self) -> Path:
        """Where its JSON lies."""
        return Path(self.run) / FOLDER / f"{self.stem}.json"

    @property
    def stem(self) -> str:
        """`<store>-<protocol>-<subset>`; a store that the run was not trained on is named with part of its hash."""
        store = self.store.name + ("" if self.store.own else f"-{self.store.content_hash[:8]}")
        return f"{store}-{self.protocol}-{self.subset}"

    def write(self) -> Path:
        """Publish the JSON in the run folder, whole or not at all."""
        return write_json(self.path, self.to_json())


def read_evaluation(path: str | PathLike[str]) -> Evaluation:
    """The record in a JSON that `camoe-evaluate` wrote; raises `CamoeError` for anything else."""
    try:
        found = Evaluation.from_json(read_json(path))
        _check_sound(found)
        return found
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise CamoeError(f"{path} is not an evaluation that camoe-evaluate wrote ({reason}); run it again") from None


def _check_sound(evaluation: Evaluation) -> None:
    """Raise `ValueError` where its parts are of different re-rankings, or it has no queries."""
    names, other, stress = evaluation.rerankings.keys(), evaluation.comparison, evaluation.stress
    if "none" not in names or (other and "none" not in other.rerankings):
        raise ValueError("its raw numbers are missing")
    if stress and not (names == stress.batches.keys() == stress.repeated.keys()):
        raise ValueError("its stress test is of other re-rankings")
    if stress and stress.two_captions is not None and stress.two_captions.keys() != names:
        raise ValueError("its stress test is of other re-rankings")
    results = [*evaluation.rerankings.values(), *(other.rerankings.values() if other else ())]
    if len({result.intervals is None for result in results}) > 1:
        raise ValueError("some of its intervals are missing")
    if min(evaluation.captions, evaluation.videos) < 1:
        raise ValueError("it has no queries")


def check_results_folder(run: Path) -> None:
    """Raise `CamoeError` where a run's folder is there and its results could not be written into it."""
    if run.is_dir():
        check_writable(run / FOLDER, inside=True, remedy="make it writable, or evaluate a copy of the run")


def write_json(path: Path, content: dict[str, Any]) -> Path:
    """Publish `content`, making its folder."""
    path.parent.mkdir(exist_ok=True)
    write_atomic(path, json.dumps(content, indent=2) + "\n")
    return path


def store_name(paths: Sequence[str]) -> str:
    """A short name for a store: its first file or folder without suffix; for a glob, the folder around it."""
    first = Path(paths[0])
    while any(letter in first.name for letter in "*?["):
        first = first.parent
    return first.resolve().stem or "store"
