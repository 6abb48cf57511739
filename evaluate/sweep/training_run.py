"""One training run of a sweep: a pure function of the store, the settings and the seed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...pipeline.errors import CamoeError
from ...train.config import TrainConfig
from ...train.feature_cache import FeatureCache
from ...train.many_runs import TrainedRun, train_alone, train_as_ensemble
from ...train.run_folder import title
from ...train.scorer import Scorer
from ...train.scoring import ModelScorer
from ..names import Reranking as Asked
from ..ranked import MATRIX_BYTES, Method, Ranked, rank_subset
from ..result import MetricsPair
from .result import FAILED, OK, PRUNED, RAW, TRIED, Result, reranking_name
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
    """Above this size its scores are ranked and re-ranked in blocks."""
    on_test: bool = True
    """Whether it is scored on test; a trial of a search is not."""
    stop: Callable[[Mapping[str, Any]], bool] | None = None
    """Asked after each epoch, with its row, whether the run is given up."""
    known: Result | None = None
    """Its result, where an earlier sweep came so far."""


Group = tuple[TrainingRun, ...]
"""Runs that are trained together as an ensemble, or a single one; those of a trial one after another."""


class _GivenUpError(Exception):
    """What ends the training of a run that is given up."""


def run_alone(cache: FeatureCache, run: TrainingRun, report: Report) -> Result:
    """Train and score one run as `camoe-train` and `camoe-evaluate` would; a run that cannot go on is a failed result.

    Raises `torch.OutOfMemoryError` for whoever can do something about it.
    """
    curve: list[dict[str, Any]] = []

    def tell(row: dict[str, Any]) -> None:
        curve.append(row)
        report(run.key, row)
        if run.stop is not None and run.stop(row):
            raise _GivenUpError

    started = time.perf_counter()
    try:
        trained = train_alone(cache, run.config.recipe, tell)
        return finished_result(cache, run, trained) if run.on_test else tried_result(cache, run, trained)
    except _GivenUpError:
        return pruned_result(run, curve, time.perf_counter() - started)
    except CamoeError as error:
        return failed_result(run, str(error))


def run_trial(cache: FeatureCache, runs: Sequence[TrainingRun], report: Report) -> Iterator[Result]:
    """The results of a trial's runs, a seed each; where the first comes to nothing the others are not begun."""
    stopped: Result | None = None
    for run in runs:
        if stopped is None:
            result = run.known or run_alone(cache, run, report)
        elif stopped.status == PRUNED:
            result = pruned_result(run, [], 0.0, f"given up with seed {stopped.seed}")
        else:
            result = failed_result(run, f"not begun, as seed {stopped.seed} failed")
        stopped = stopped or (result if result.status in (PRUNED, FAILED) else None)
        yield result


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
        parameters=_parameters(model),
        seconds=round(trained.seconds + time.perf_counter() - started, 3),
        together=trained.ensemble_size,
        note="" if name == config.model else name,
        ranks=test.ranks,
        owner=test.queries.video_of_caption,
    )


def tried_result(cache: FeatureCache, run: TrainingRun, trained: TrainedRun) -> Result:
    """The result of a trial's run: what its epochs came to on val."""
    best = trained.outcome.best
    return Result(
        key=run.key,
        status=TRIED,
        settings=identity(run.config),
        seed=run.config.seed,
        best=best,
        curve=tuple(trained.curve),
        validation={"none": best["R@1"]},
        validation_videos=len(cache.features(run.config.recipe.features).videos_of("val")),
        parameters=_parameters(trained.model),
        seconds=round(trained.seconds, 3),
    )


def pruned_result(run: TrainingRun, curve: Sequence[dict[str, Any]], seconds: float, reason: str = "") -> Result:
    """The result of a run that was given up after the epochs of `curve`."""
    best = max(curve, key=lambda row: row["R@1"], default={})
    return Result(
        key=run.key,
        status=PRUNED,
        settings=identity(run.config),
        seed=run.config.seed,
        reason=reason or f"given up after epoch {curve[-1]['epoch']}",
        best=best,
        curve=tuple(curve),
        validation={"none": best["R@1"]} if best else {},
        seconds=round(seconds, 3),
    )


def failed_result(run: TrainingRun, reason: str) -> Result:
    """The result of a run that could not be finished."""
    config = run.config
    return Result(run.key, FAILED, identity(config), config.seed, reason=" ".join(reason.split()))


def _parameters(model: Scorer) -> int:
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


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
