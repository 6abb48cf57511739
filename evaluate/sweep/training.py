"""One training run of a sweep: a pure function of the store, the settings and the seed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from ...pipeline.errors import CamoeError
from ...train.config import TrainConfig
from ...train.data import Features
from ...train.model import Scorer, build_model
from ...train.scoring import RunScorer
from ...train.trainer import Outcome, train
from ..names import Reranking as Asked
from ..ranked import MATRIX_BYTES, Method, Ranked, rank_subset
from ..result import MetricsPair
from .resident import Resident
from .result import FAILED, OK, RAW, Result, reranking_name
from .settings import identity

Report = Callable[[str, dict[str, Any]], None]
"""Called with a run's key and each epoch's row."""
Reranking = tuple[str, float | None]


@dataclass(frozen=True)
class Training:
    """What is trained, and the re-rankings that its cells ask for, raw always among them."""

    key: str
    config: TrainConfig
    rerankings: tuple[Reranking, ...] = (RAW,)
    name: str = ""
    """For the eye, as `gate=full, seed 1`."""
    max_matrix_bytes: int = MATRIX_BYTES
    """Above this size its scores are ranked in blocks, raw only."""


def run_single(resident: Resident, training: Training, report: Report) -> Result:
    """Train and score one run as `camoe-train` and `camoe-evaluate` would; a run that cannot go on is a failed result.

    Raises `torch.OutOfMemoryError` for whoever can do something about it.
    """
    started = time.perf_counter()
    try:
        features = resident.features(training.config)
        model = build_model(training.config, features.shape).to(resident.device)
        curve: list[dict[str, Any]] = []

        def tell(row: dict[str, Any]) -> None:
            curve.append(row)
            report(training.key, row)

        outcome = train(model, features, training.config, tell)
        model.load_state_dict(outcome.state)
        return finished(resident, training, model, features, outcome, curve, time.perf_counter() - started)
    except CamoeError as error:
        return failed(training, str(error))


def finished(
    resident: Resident,
    training: Training,
    model: Scorer,
    features: Features,
    outcome: Outcome,
    curve: list[dict[str, Any]],
    seconds: float,
) -> Result:
    """The result of a trained model: its numbers on val and on the test captions under every re-ranking."""
    scorer = resident.scorer(model, features)
    val_videos = len(features.videos_of("val"))
    val = _ranked(scorer, training, "val") if val_videos else None
    test = _ranked(scorer, training, "test")
    return Result(
        key=training.key,
        status=OK,
        settings=identity(training.config),
        seed=training.config.seed,
        best=outcome.best,
        curve=tuple(curve),
        validation={label: _mean_recall(val.metrics(label)) for label in val.ranks} if val else {},
        validation_videos=val_videos,
        metrics={label: test.metrics(label) for label in test.ranks},
        parameters=sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad),
        seconds=round(seconds, 3),
        ranks=test.ranks,
        owner=test.queries.video_of_caption,
    )


def failed(training: Training, reason: str) -> Result:
    """The result of a run that could not be finished."""
    config = training.config
    return Result(training.key, FAILED, identity(config), config.seed, reason=" ".join(reason.split()))


def out_of_memory(error: BaseException) -> bool:
    """Whether a GPU or the host refused memory."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "not enough memory" in str(error)


def _ranked(scorer: RunScorer, training: Training, subset: str) -> Ranked:
    """Under every re-ranking that the cells ask for; raises `CamoeError` for one that is not to be had."""
    asked = tuple(
        Asked(name, {} if temperature is None else {"temperature": temperature}, reranking_name((name, temperature)))
        for name, temperature in training.rerankings
    )
    ranked = rank_subset(scorer, subset, Method(asked, max_matrix_bytes=training.max_matrix_bytes, hubness=False))
    for label, reason in ranked.left_out.items():
        raise CamoeError(f"no {label}: {reason}")
    return ranked


def _mean_recall(metrics: MetricsPair) -> float:
    return (metrics.t2v["R@1"] + metrics.v2t["R@1"]) / 2
