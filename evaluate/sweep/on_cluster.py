"""Groups of training runs on the nodes of a Ray cluster; a node that is lost costs its group, which is done again."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from ...pipeline.engines import RAY
from ...pipeline.engines.ray import RayEngine, Share
from ...train.feature_cache import FeatureCache
from .config import SweepConfig
from .progress import Say
from .result import Result
from .training_run import Group, failed_result
from .workers import Source, load_source, run_group


@dataclass(frozen=True)
class GroupWorker:
    """A loaded store, on which one group after another is trained."""

    cache: FeatureCache

    @classmethod
    def of(cls, source: Source) -> GroupWorker:
        """Load the store; raises `CamoeError` where it is not there, or is another."""
        torch.set_num_threads(1)  # as in the processes of one machine
        return cls(load_source(source))

    def work(self, tasks: Iterable[Group]) -> Iterator[Result]:
        """The results of the groups' runs."""
        for group in tasks:
            yield from run_group(self.cache, group, _ignore)


def joined(
    config: SweepConfig, device: torch.device, say: Say
) -> AbstractContextManager[RayEngine] | AbstractContextManager[None]:
    """The cluster that is asked for, or none: a worker takes a GPU or a share of one, on CPUs a core."""
    if config.engine != RAY:
        return nullcontext()
    share = Share(config.ray_gpus if device.type == "cuda" else 0.0, 1)
    return closing(RayEngine(config.ray_address, share, say))


def work_on_cluster(source: Source, groups: Sequence[Group], cluster: RayEngine) -> Iterator[Result]:
    """The results of all groups as they come; raises as `workers.work` does."""
    there = replace(
        source,
        features=tuple(os.path.abspath(name) for name in source.features),
        device=torch.device(source.device).type,
    )
    with closing(cluster.run(partial(GroupWorker.of, there), groups, _lost)) as results:
        yield from results


def _lost(group: Group, reason: str) -> Iterator[Result]:
    for run in group:
        yield failed_result(run, reason)


def _ignore(key: str, row: dict[str, Any]) -> None:
    """Epochs are not told across machines."""
