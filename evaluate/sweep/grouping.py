"""Which training runs go together: on a GPU those of one architecture as an ensemble, else each by itself."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import torch

from ...train.config import FUSION, TrainConfig
from .training_run import Group, TrainingRun


def group_runs(
    runs: Sequence[TrainingRun], device: torch.device, processes: int, *, ensemble: bool | None
) -> list[Group]:
    """In the order of the grid; `ensemble` None means on a GPU. A group is shared out to the processes."""
    if not (device.type == "cuda" if ensemble is None else ensemble):
        return [(run,) for run in runs]
    groups: dict[Hashable, list[TrainingRun]] = {}
    for run in runs:
        groups.setdefault(architecture(run), []).append(run)
    return [part for group in groups.values() for part in _shared_out(group, processes)]


def architecture(run: TrainingRun) -> Hashable:
    """The same for runs whose parameters have the same shapes and whose steps take the same batches.

    A run that cannot be in an ensemble has one of its own: a model without training, X-Pool, and accumulated or
    shuffled batches.
    """
    config = run.config
    if not config.stacks or config.accumulate > 1 or config.shuffle_frames:
        return run.key
    fusion = config.streams.index(FUSION) if FUSION in config.streams else None
    shape: tuple[Hashable, ...] = (config.model, len(config.streams), fusion, config.text_head, config.attention_layers)
    shape += (config.padding,)
    if config.model == "camoe":
        shape += (config.expert_count, config.aggregators, config.gate)
    return (*shape, *_batches(config))


def _batches(config: TrainConfig) -> tuple[Hashable, ...]:
    return config.batch_size, config.captions_per_video, config.validation_fraction, config.precision


def _shared_out(group: list[TrainingRun], processes: int) -> list[Group]:
    size = -(-len(group) // max(1, min(processes, len(group))))
    return [tuple(group[start : start + size]) for start in range(0, len(group), size)]
