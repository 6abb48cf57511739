"""One training run of a sweep: a pure function of the store, the settings and the seed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ...pipeline.errors import CamoeError
from ...train.config import TrainConfig
from ...train.feature_cache import FeatureCache
from ...train.many_runs import TrainedRun, train_alone, train_as_ensemble
from ...train.run_folder import title
from ...train.scoring import ModelScorer
from ..names import Reranking as Asked
from ..ranked import MATRIX_BYTES, Method, Ranked, rank_subset
from ..result import MetricsPair
from .result import FAILED, OK, RAW, Result, reranking_name
from .settings import identity

Report = Callable[[str, dict[str, Any]], None]
"""Called with a run's key and each epoch's row."""
Reranking = tuple[str, float | None]


@dataclass(frozen=True)
class TrainingRun:
    """What is trained, and the re-rankings that its cells ask for, raw always among them."""

    key: str
    config: TrainConfig
    rerankings: tuple[Reranking, ...] = (RAW,)
    name: str = ""
    """For the eye, as `gate=full, seed 1`."""
    max_matrix_bytes: int = MATRIX_BYTES
    """Above this size its scores are ranked in blocks, raw only."""


Group = tuple[TrainingRun, ...]
"""Runs that are trained together as an ensemble, or a single one."""


def run_alone(cache: FeatureCache, run: TrainingRun, report: Report) -> Result:
    """Train and score one run as `camoe-train` and `camoe-evaluate` would; a run that cannot go on is a failed result.

    Raises `torch.OutOfMemoryError` for whoever can do something about it.
    """
    try:
        trained = train_alone(cache, run.config.recipe, lambda row: report(run.key, row))
        return finished_result(cache, run, trained)
    except CamoeError as error:
        return failed_result(run, str(error))


def run_as_ensemble(cache: FeatureCache, runs: Sequence[TrainingRun], report: Report) -> Iterator[Result]:
    """The results of runs of one architecture, trained as an ensemble, as they finish.

    Raises `torch.OutOfMemoryError` where one run alone is too much.
    """
    recipes = [run.config.recipe for run in runs]
    for trained in train_as_ensemble(cache, recipes, lambda place, row: report(runs[place].key, row)):
        run = runs[trained.place]
        yield failed_result(run, str(trained.error)) if trained.error else finished_result(cache, run, trained)


def finished_result(cache: FeatureCache, run: TrainingRun, trained: TrainedRun) -> Result:
    """The result of a trained model: its numbers on val and on the test captions under every re-ranking."""
    started, config = time.perf_counter(), run.config
    features, model = cache.features(config.recipe.features), trained.model
    scorer = cache.scorer(model, features)
    val_videos = len(features.videos_of("val"))
    val = _ranked(scorer, run, "val") if val_videos else None
    test = _ranked(scorer, run, "test")
    name = title(config.model, cache.start(config.model), emcl=config.emcl)
    return Result(
        key=run.key,
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
        together=trained.ensemble_size,
        note="" if name == config.model else name,
        ranks=test.ranks,
        owner=test.queries.video_of_caption,
    )


def failed_result(run: TrainingRun, reason: str) -> Result:
    """The result of a run that could not be finished."""
    config = run.config
    return Result(run.key, FAILED, identity(config), config.seed, reason=" ".join(reason.split()))


def _ranked(scorer: ModelScorer, run: TrainingRun, subset: str) -> Ranked:
    """Under every re-ranking that the cells ask for; raises `CamoeError` for one that is not possible here."""
    asked = tuple(
        Asked(name, {} if temperature is None else {"temperature": temperature}, reranking_name((name, temperature)))
        for name, temperature in run.rerankings
    )
    ranked = rank_subset(scorer, subset, Method(asked, max_matrix_bytes=run.max_matrix_bytes, hubness=False))
    for label, reason in ranked.left_out.items():
        raise CamoeError(f"no {label}: {reason}")
    return ranked


def _mean_recall(metrics: MetricsPair) -> float:
    return (metrics.t2v["R@1"] + metrics.v2t["R@1"]) / 2
