"""Training runs of one architecture through to their results, as one ensemble; those that are done leave it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from ...pipeline.errors import CamoeError
from ...train.data import Features
from ...train.divergence import Trace, check, loss_level
from ...train.model import Scorer, build_model
from ...train.trainer import Outcome
from ...train.validation import validate
from .ensemble import Ensemble
from .resident import Resident
from .result import Result
from .training import Report, Training, failed, finished, out_of_memory

SHARE_OF_MEMORY = 0.7
COPIES = 8
"""Of a member's parameters: themselves, gradients, two moments, the best epoch's, and an update's in between."""


@dataclass
class Member:
    """A run in the ensemble, and what it has come to."""

    training: Training
    features: Features
    outcome: Outcome
    curve: list[dict[str, Any]] = field(default_factory=list)
    level: float | None = None
    error: CamoeError | None = None

    @property
    def done(self) -> bool:
        """Whether it leaves the ensemble: diverged, at its last epoch, or out of patience."""
        config, outcome = self.training.config, self.outcome
        patience = config.patience is not None and outcome.epochs - outcome.best["epoch"] >= config.patience
        return self.error is not None or outcome.epochs >= config.epochs or patience


def run_together(resident: Resident, trainings: Sequence[Training], report: Report) -> Iterator[Result]:
    """The results of runs of one architecture, as they finish.

    They are trained in groups as large as memory holds; a group that it does not hold is halved and begun again. Raises
    `torch.OutOfMemoryError` where one run alone is too much.
    """
    waiting, size = list(trainings), _fitting(resident, trainings)
    while waiting:
        group = waiting[:size]
        try:
            for result in _run_group(resident, group, report):
                waiting = [training for training in waiting if training.key != result.key]
                yield result
        except Exception as error:
            if not out_of_memory(error) or len(group) == 1:
                raise
            size = max(1, len(group) // 2)
        _free(resident.device)


def _run_group(resident: Resident, trainings: Sequence[Training], report: Report) -> Iterator[Result]:
    started = time.perf_counter()
    members, ensemble = _begin(resident, trainings, report)
    epoch = 0
    while members:
        epoch += 1
        begun, first_step = time.perf_counter(), ensemble.taken + 1
        rows = ensemble.epoch()
        for place, member in enumerate(members):
            _end_epoch(member, ensemble, place, rows[:, place], epoch, first_step)
        for member in members:
            member.outcome.seconds += (time.perf_counter() - begun) / len(members)
            if member.error is None:
                row = member.curve[-1] | {"seconds": round(member.outcome.seconds, 3)}
                member.curve[-1] = row
                report(member.training.key, row)
        for member in members:
            if member.done:
                yield _result(resident, member, ensemble.model, len(trainings), time.perf_counter() - started)
        kept = [place for place, member in enumerate(members) if not member.done]
        members = [members[place] for place in kept]
        if members and len(kept) < len(ensemble):
            ensemble.keep(kept)


def _begin(resident: Resident, trainings: Sequence[Training], report: Report) -> tuple[list[Member], Ensemble]:
    members, models = [], []
    for training in trainings:
        features = resident.features(training.config)
        model = build_model(training.config, features.shape).to(resident.device)
        best = {"epoch": 0} | validate(model, features)
        report(training.key, best)
        members.append(Member(training, features, Outcome(best, _copy(model)), [best]))
        models.append(model)
    configs = [training.config for training in trainings]
    return members, Ensemble(models, [member.features for member in members], configs)


def _end_epoch(member: Member, ensemble: Ensemble, place: int, rows: torch.Tensor, epoch: int, first_step: int) -> None:
    """What a single run's trainer does between two epochs: look for trouble, validate, keep the best."""
    config, sampler = member.training.config, ensemble.draws.sampler
    trace = Trace.of(rows, ensemble.weights[place])
    if member.level is None:
        member.level = loss_level(trace.loss[0].item(), sampler.batch_size)
    try:
        check(trace, member.level, config, first_step, epoch)
    except CamoeError as error:
        member.error = error
        return
    model = ensemble.load(place)
    row = {
        "epoch": epoch,
        "loss": trace.loss.mean().item(),
        "gradient_norm": trace.norm.mean().item(),
        "logit_scale": trace.scale[-1].item(),
    } | validate(model, member.features)
    if row["R@1"] > member.outcome.best["R@1"]:
        member.outcome.best, member.outcome.state = row, _copy(model)
    member.outcome.epochs = epoch
    member.outcome.examples += sampler.steps * sampler.batch_size * config.captions_per_video
    member.curve.append(row)


def _result(resident: Resident, member: Member, model: Scorer, together: int, seconds: float) -> Result:
    if member.error is not None:
        return failed(member.training, str(member.error))
    model.load_state_dict(member.outcome.state)
    spent = seconds / together
    result = finished(resident, member.training, model, member.features, member.outcome, member.curve, spent)
    return replace(result, together=together)


def _copy(model: Scorer) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def _fitting(resident: Resident, trainings: Sequence[Training]) -> int:
    """How many members memory holds, by what one member's step keeps for its backward pass."""
    config = trainings[0].config
    features = resident.features(config)
    model = build_model(config, features.shape).to(resident.device)
    ensemble = Ensemble([model], [features], [config])
    kept = 0

    def count(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal kept
        kept += tensor.numel() * tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        ensemble.losses(ensemble.draws.epoch()[0])
    one = kept + COPIES * ensemble.flat.numel() * ensemble.flat.element_size()
    return min(len(trainings), max(1, int(SHARE_OF_MEMORY * _free_bytes(resident.device) / one)))


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // (os.cpu_count() or 1)  # one process a core


def _free(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.empty_cache()
