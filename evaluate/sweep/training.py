"""One training run of a sweep: a pure function of the store, the settings and the seed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ...pipeline.errors import CamoeError
from ...train.config import TrainConfig
from ...train.feature_cache import FeatureCache
from ...train.run_folder import title
from ...train.scoring import ModelScorer
from ...train.together import Trained, train_alone, train_together
from ..names import Reranking as Asked
from ..ranked import MATRIX_BYTES, Method, Ranked, rank_subset
from ..result import MetricsPair
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


def run_single(cache: FeatureCache, training: Training, report: Report) -> Result:
    """Train and score one run as `camoe-train` and `camoe-evaluate` would; a run that cannot go on is a failed result.

    Raises `torch.OutOfMemoryError` for whoever can do something about it.
    """
    try:
        trained = train_alone(cache, training.config, lambda row: report(training.key, row))
        return finished(cache, training, trained)
    except CamoeError as error:
        return failed(training, str(error))


def run_together(cache: FeatureCache, trainings: Sequence[Training], report: Report) -> Iterator[Result]:
    """The results of runs of one architecture, trained as an ensemble, as they finish.

    Raises `torch.OutOfMemoryError` where one run alone is too much.
    """
    configs = [training.config for training in trainings]
    for trained in train_together(cache, configs, lambda place, row: report(trainings[place].key, row)):
        training = trainings[trained.place]
        yield failed(training, str(trained.error)) if trained.error else finished(cache, training, trained)


def finished(cache: FeatureCache, training: Training, trained: Trained) -> Result:
    """The result of a trained model: its numbers on val and on the test captions under every re-ranking."""
    started, config = time.perf_counter(), training.config
    features, model = cache.features(config), trained.model
    scorer = cache.scorer(model, features)
    val_videos = len(features.videos_of("val"))
    val = _ranked(scorer, training, "val") if val_videos else None
    test = _ranked(scorer, training, "test")
    name = title(config.model, cache.start(config))
    return Result(
        key=training.key,
        status=OK,
        settings=identity(config),
        seed=config.seed,
        best=trained.outcome.best,
        curve=tuple(trained.curve),
        validation={label: _mean_recall(val.metrics(label)) for label in val.ranks} if val else {},
        validation_videos=val_videos,
        metrics={label: test.metrics(label) for label in test.ranks},
        parameters=sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad),
        seconds=round(trained.seconds + time.perf_counter() - started, 3),
        together=trained.together,
        note="" if name == config.model else name,
        ranks=test.ranks,
        owner=test.queries.video_of_caption,
    )


def failed(training: Training, reason: str) -> Result:
    """The result of a run that could not be finished."""
    config = training.config
    return Result(training.key, FAILED, identity(config), config.seed, reason=" ".join(reason.split()))


def _ranked(scorer: ModelScorer, training: Training, subset: str) -> Ranked:
    """Under every re-ranking that the cells ask for; raises `CamoeError` for one that is not possible here."""
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
