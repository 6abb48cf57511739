"""Two runs on the same queries: refused where they are not the same, else a paired bootstrap."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from typing import Any

import torch

from ..pipeline.errors import CamoeError
from ..train.config import TrainConfig
from .ranked import Ranked
from .result import Differences, MetricDifferences
from .significance import paired_bootstrap
from .subject import Subject

APART = ("features", "protocol", "allow_missing", "out", "overwrite", "device", "threads", "log", "tensorboard", "tags",
         "checkpoint_seconds")  # fmt: skip


def refuse_unlike(first: Subject, second: Subject, subset: str) -> None:
    """Raise `CamoeError`, naming both sides, where store, protocol, coverage or the queries themselves differ."""
    mine, theirs = first.identity(), second.identity()
    unlike = [
        f"{name} is {_short(mine[name])} and {_short(theirs[name])}" for name in mine if mine[name] != theirs[name]
    ]
    runs = f"{first.run.path} and {second.run.path}"
    if unlike:
        raise CamoeError(
            f"{runs} cannot be compared: {'; '.join(unlike)}; --features and --protocol evaluate both on one store"
        )
    if not torch.equal(first.scorer.features.captions_of(subset), second.scorer.features.captions_of(subset)):
        raise CamoeError(f"{runs} cannot be compared: they held out different videos as {subset}; use --subset test")


def differences(first: Ranked, second: Ranked, *, resamples: int, seed: int = 0) -> dict[str, Differences]:
    """First minus second by re-ranking, for those that both have.

    Both runs are resampled with the same draws: for text-to-video whole videos with their captions.
    """
    owner, lower = first.queries.video_of_caption, first.lower_median
    paired = partial(paired_bootstrap, resamples=resamples, seed=seed)
    return {
        name: Differences(
            MetricDifferences.of(paired(first.ranks[name].t2v, second.ranks[name].t2v, owner, lower_median=lower)),
            MetricDifferences.of(paired(first.ranks[name].v2t, second.ranks[name].v2t)),
        )
        for name in first.ranks
        if name in second.ranks
    }


def unlike_settings(first: TrainConfig, second: TrainConfig) -> dict[str, tuple[Any, Any]]:
    """By setting, the values in which two trainings differ, as JSON values; where and how they ran is left out."""
    mine, theirs = (json.loads(json.dumps(asdict(config), default=str)) for config in (first, second))
    return {name: (mine[name], theirs[name]) for name in mine if name not in APART and mine[name] != theirs[name]}


def _short(value: object) -> str:
    text = str(value)
    return text[:12] if len(text) == 64 else text
