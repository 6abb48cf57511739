"""Two runs on the same queries: refused where they are not the same, else a paired bootstrap."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import torch

from ..pipeline.errors import CamoeError
from .config import EvaluateConfig
from .ranked import Ranked
from .significance import paired_bootstrap
from .subject import Subject


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


def differences(first: Ranked, second: Ranked, config: EvaluateConfig) -> dict[str, dict[str, dict[str, Any]]]:
    """First minus second by re-ranking, direction and metric: `{"value", "low", "high", "p_value"}`.

    Both runs are resampled with the same draws: for text-to-video whole videos with their captions.
    """
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for name in first.ranks:
        if name not in second.ranks:
            continue
        mine, theirs = first.ranks[name], second.ranks[name]
        pairs = {
            "t2v": paired_bootstrap(
                mine.t2v,
                theirs.t2v,
                first.video_of_caption,
                lower_median=first.lower_median,
                resamples=config.resamples,
                seed=config.seed,
            ),
            "v2t": paired_bootstrap(mine.v2t, theirs.v2t, resamples=config.resamples, seed=config.seed),
        }
        found[name] = {
            direction: {metric: asdict(difference) for metric, difference in metrics.items()}
            for direction, metrics in pairs.items()
        }
    return found


def _short(value: object) -> str:
    text = str(value)
    return text[:12] if len(text) == 64 else text
