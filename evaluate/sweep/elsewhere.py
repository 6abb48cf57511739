"""Groups of training runs by an engine, elsewhere than in processes of this machine; what is lost is done again."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from ...pipeline.engines import LOCAL, Engine, Share, Wanted, open_engine
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


def opened(
    config: SweepConfig, device: torch.device, say: Say
) -> AbstractContextManager[Engine] | AbstractContextManager[None]:
    """The engine that is asked for; none: processes of this machine. A worker has a GPU or a share, on CPUs a core."""
    if config.engine == LOCAL:
        return nullcontext()
    share = Share(config.ray_gpus if device.type == "cuda" else 0.0, 1)
    return closing(open_engine(config.engine, Wanted(config.ray_address, share, say)))


def work_elsewhere(source: Source, groups: Sequence[Group], engine: Engine) -> Iterator[Result]:
    """The results of all groups as they come; raises as `workers.work` does."""
    there = replace(
        source,
        features=tuple(os.path.abspath(name) for name in source.features),
        device=torch.device(source.device).type,
    )
    threads = torch.get_num_threads()
    try:
        with closing(engine.run(partial(GroupWorker.of, there), groups, _lost)) as results:
            yield from results
    finally:
        torch.set_num_threads(threads)  # which a worker in this process has changed


def _lost(group: Group, reason: str) -> Iterator[Result]:
    for run in group:
        yield failed_result(run, reason)


def _ignore(key: str, row: dict[str, Any]) -> None:
    """Epochs are not told across machines."""
