"""Many runs over one loaded store: each alone, or those of one architecture together as an ensemble."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import torch

from ..pipeline.errors import CamoeError
from .course import Course, Outcome, untrained
from .ensemble import Ensemble
from .feature_cache import FeatureCache
from .gather import batches
from .recipe import Recipe
from .scorer import Scorer
from .trainer import train

SHARE_OF_MEMORY = 0.7
COPIES = 8
"""Of a member's parameters: themselves, gradients, two moments, the best epoch's, and an update's in between."""

RunReport = Callable[[int, dict[str, Any]], None]
"""Called with a run's place among the recipes and each epoch's row."""


@dataclass(frozen=True)
class TrainedRun:
    """A run that has come to its end: `place` is that of its recipe, `curve` its epochs' metrics.

    `model` holds the best epoch's parameters, until the next run is asked for; where training came apart there is an
    `error` instead. `seconds` is its share of the time, `ensemble_size` how many were trained at once.
    """

    place: int
    model: Scorer
    outcome: Outcome
    curve: list[dict[str, Any]]
    seconds: float
    ensemble_size: int = 1
    error: CamoeError | None = None


def train_alone(cache: FeatureCache, recipe: Recipe, report: Callable[[dict[str, Any]], None]) -> TrainedRun:
    """Train one run as `fit` would, without a folder; raises what `train` raises."""
    started = time.perf_counter()
    model, curve = cache.begin_model(recipe), []

    def tell(row: dict[str, Any]) -> None:
        curve.append(row)
        report(row)

    outcome = train(model, cache.features(recipe.features), recipe, tell)
    model.load_state_dict(outcome.state)
    return TrainedRun(0, model, outcome, curve, time.perf_counter() - started)


def train_as_ensemble(cache: FeatureCache, recipes: Sequence[Recipe], report: RunReport) -> Iterator[TrainedRun]:
    """The runs of one architecture as they end.

    They are trained in groups as large as memory holds; a group that it does not hold is halved and begun again. Raises
    `torch.OutOfMemoryError` where one run alone is too much.
    """
    waiting, size = list(range(len(recipes))), _fitting(cache, recipes[0], len(recipes))
    while waiting:
        group = waiting[:size]
        try:
            for trained in _train_group(cache, {place: recipes[place] for place in group}, report):
                waiting.remove(trained.place)
                yield trained
        except Exception as error:
            if not out_of_memory(error) or len(group) == 1:
                raise
            size = max(1, len(group) // 2)
        if cache.device.type == "cuda":
            torch.cuda.empty_cache()


def out_of_memory(error: BaseException) -> bool:
    """Whether a GPU or the host refused memory."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "not enough memory" in str(error)


@dataclass
class _Member:
    """A run in the ensemble."""

    place: int
    course: Course
    error: CamoeError | None = None

    @property
    def done(self) -> bool:
        """Whether it leaves: diverged, at its last epoch, or out of patience."""
        return self.error is not None or self.course.finished


def _train_group(cache: FeatureCache, recipes: dict[int, Recipe], report: RunReport) -> Iterator[TrainedRun]:
    started = time.perf_counter()
    members, ensemble = _begin(cache, recipes, report)
    while members:
        begun, first_step = time.perf_counter(), ensemble.taken + 1
        rows = ensemble.epoch()
        for row, member in enumerate(members):
            _end_epoch(member, ensemble.load(row), rows[:, row], first_step)
        for member in members:
            member.course.outcome.seconds += (time.perf_counter() - begun) / len(members)
            if member.error is None:
                told = member.course.curve[-1] | {"seconds": round(member.course.outcome.seconds, 3)}
                member.course.curve[-1] = told
                report(member.place, told)
        for member in members:
            if member.done:
                yield _trained(member, ensemble.model, (time.perf_counter() - started) / len(recipes), len(recipes))
        kept = [row for row, member in enumerate(members) if not member.done]
        members = [members[row] for row in kept]
        if members and len(kept) < len(ensemble):
            ensemble.keep(kept)


def _begin(cache: FeatureCache, recipes: dict[int, Recipe], report: RunReport) -> tuple[list[_Member], Ensemble]:
    models = [cache.begin_model(recipe) for recipe in recipes.values()]
    features = [cache.features(recipe.features) for recipe in recipes.values()]
    ensemble = Ensemble(models, features, list(recipes.values()))
    members = []
    for (place, recipe), model, own in zip(recipes.items(), models, features, strict=True):
        outcome = untrained(model, own)
        report(place, outcome.best)
        members.append(_Member(place, Course(recipe, own, ensemble.draws.sampler, outcome, curve=[outcome.best])))
    return members, ensemble


def _end_epoch(member: _Member, model: Scorer, rows: torch.Tensor, first_step: int) -> None:
    try:
        member.course.curve.append(member.course.end_epoch(rows, model, first_step=first_step))
    except CamoeError as error:
        member.error = error


def _trained(member: _Member, model: Scorer, seconds: float, ensemble_size: int) -> TrainedRun:
    course = member.course
    if member.error is None:
        model.load_state_dict(course.outcome.state)
    return TrainedRun(member.place, model, course.outcome, course.curve, seconds, ensemble_size, member.error)


def _fitting(cache: FeatureCache, recipe: Recipe, count: int) -> int:
    """How many of `count` members memory holds, by what one member's step keeps for its backward pass."""
    ensemble = Ensemble([cache.begin_model(recipe)], [cache.features(recipe.features)], [recipe])
    kept = 0

    def add(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal kept
        kept += tensor.numel() * tensor.element_size()
        return tensor

    with closing(batches(ensemble.features, ensemble.draws.epoch()[:1])) as drawn:
        features, captions = next(drawn)
    with torch.autograd.graph.saved_tensors_hooks(add, lambda tensor: tensor):
        ensemble.losses(captions, features)
    one = kept + COPIES * ensemble.flat.numel() * ensemble.flat.element_size()
    return min(count, max(1, int(SHARE_OF_MEMORY * _free_bytes(cache.device) / one)))


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // (os.cpu_count() or 1)  # one process a core
