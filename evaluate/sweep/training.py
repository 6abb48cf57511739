"""One training run of a sweep: a pure function of the store, the settings and the seed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...pipeline.errors import CamoeError
from ...train.config import TrainConfig
from ...train.feature_cache import FeatureCache
from ...train.run_folder import title
from ...train.scoring import ModelScorer
from ...train.together import Trained, train_alone, train_together
from ..config import EvaluateConfig
from ..metrics import several_captions, summarise_ranks
from ..pool import Pool, make_pool
from ..result import DIRECTIONS
from .result import FAILED, OK, RAW, Metrics, Result, reranking_name
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
    has_val = len(features.captions_of("val")) > 0
    val = _scored(scorer, training.rerankings, "val") if has_val else None
    test = _scored(scorer, training.rerankings, "test")
    name = title(config.model, cache.start(config))
    return Result(
        key=training.key,
        status=OK,
        settings=identity(config),
        seed=config.seed,
        best=trained.outcome.best,
        curve=trained.curve,
        validation={name: _mean_recall(found) for name, found in val.metrics.items()} if val else {},
        metrics=test.metrics,
        parameters=sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad),
        seconds=round(trained.seconds + time.perf_counter() - started, 3),
        together=trained.together,
        note="" if name == config.model else name,
        ranks=test.ranks,
        owner=test.owner,
    )


def failed(training: Training, reason: str) -> Result:
    """The result of a run that could not be finished."""
    config = training.config
    return Result(training.key, FAILED, identity(config), config.seed, reason=" ".join(reason.split()))


@dataclass(frozen=True)
class Scored:
    """A subset's ranks and metrics by re-ranking and direction."""

    ranks: dict[str, dict[str, np.ndarray]]
    metrics: dict[str, dict[str, Metrics]]
    owner: np.ndarray


def _scored(scorer: ModelScorer, rerankings: Sequence[Reranking], subset: str) -> Scored:
    names = tuple(name for name, _ in rerankings)
    pool = make_pool(scorer, EvaluateConfig(run=Path(), rerank=names, subset=subset))
    lower = several_captions(pool.video_of_caption)
    ranks = {reranking_name(reranking): _ranks(pool, reranking) for reranking in rerankings}
    metrics = {
        name: {
            direction: summarise_ranks(found[direction], lower_median=lower and direction == "t2v")
            for direction in DIRECTIONS
        }
        for name, found in ranks.items()
    }
    return Scored(ranks, metrics, pool.video_of_caption)


def _ranks(pool: Pool, reranking: Reranking) -> dict[str, np.ndarray]:
    name, temperature = reranking
    if name in pool.left_out:
        raise CamoeError(f"{name} cannot be had: {pool.left_out[name]}")
    if temperature is not None:
        pool = replace(pool, options=pool.options | {name: pool.options[name] | {"temperature": temperature}})
    ranks = pool.ranks({direction: pool.reranked(name, direction) for direction in DIRECTIONS})
    return {direction: ranks[direction] for direction in DIRECTIONS}


def _mean_recall(metrics: dict[str, Metrics]) -> float:
    return sum(metrics[direction]["R@1"] for direction in DIRECTIONS) / len(DIRECTIONS)
