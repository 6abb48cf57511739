"""Processes that train: each loads the store once and takes one group of runs after another; one
that dies costs its group."""

from __future__ import annotations

import io
import multiprocessing
import signal
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from typing import Any

import torch
from tqdm import tqdm

from ...pipeline.errors import CamoeError, RunStoppedError
from ...train.data import resolve_device
from ...train.feature_cache import FeatureCache
from ...train.many_runs import out_of_memory
from ...train.memory import keep_freed_memory
from ...train.names import DEVICE
from .result import Result
from .training_run import Group, Report, TrainingRun, failed_result, run_alone, run_as_ensemble, run_trial

PATIENCE_SECONDS = 5.0


@dataclass(frozen=True)
class Source:
    """Everything that a process needs to load the store."""

    features: tuple[str, ...]
    protocol: str
    allow_missing: bool
    device: str
    content_hash: str
    resident: str = DEVICE


@dataclass(frozen=True)
class Epoch:
    """A run has finished an epoch; `row` is its metrics."""

    key: str
    row: dict[str, Any]


Event = Epoch | Result


def work(source: Source, groups: Sequence[Group], processes: int) -> Iterator[Event]:
    """Events of all groups as they come, each run's last one its `Result`; groups are begun in order.

    Groups are looked up when a process is free for them, so that they may depend on what was told before. Raises
    `RunStoppedError` for what would meet every group, such as a store that cannot be read any more. However it
    ends, no process is left.
    """
    crew = [_Worker(source) for _ in range(min(processes, len(groups)))]
    waiting = deque(range(len(groups)))
    try:
        while waiting or any(worker.left for worker in crew):
            for worker in crew:
                if not worker.left and waiting:
                    worker.give(groups[waiting.popleft()])
            for ready in wait([worker.pipe for worker in crew if worker.left]):
                worker = next(worker for worker in crew if worker.pipe is ready)
                yield from worker.events()
    finally:
        for worker in crew:
            worker.stop()


class _Worker:
    """One process, and the runs of its group that have no result yet."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.left: dict[str, TrainingRun] = {}
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__])
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(self.source, theirs), daemon=True)
        self.process.start()
        theirs.close()

    def give(self, group: Group) -> None:
        self.left = {run.key: run for run in group}
        with suppress(OSError):  # it died idle; its end is noticed when it is read from
            self.pipe.send(group)

    def events(self) -> Iterator[Event]:
        try:
            message = self.pipe.recv()
        except (EOFError, OSError):
            yield from self._bury()
            return
        if isinstance(message, CamoeError):
            raise message
        if isinstance(message, Result):
            self.left.pop(message.key, None)
        yield message

    def _bury(self) -> Iterator[Result]:
        """The runs of a process that died have failed; another takes its place."""
        self.process.join()
        code = self.process.exitcode or 0
        died = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
        reason = f"its process {died}; if memory is short, use fewer --workers"
        lost, self.left = self.left, {}
        self._start()
        for run in lost.values():
            yield failed_result(run, reason)

    def stop(self) -> None:
        self.pipe.close()
        if self.left:
            self.process.terminate()
        self.process.join(PATIENCE_SECONDS)
        self.process.kill()
        self.process.join()


def serve(source: Source, pipe: Connection) -> None:
    """A process's life: load the store at the first group, then train groups until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the sweep's own process ends this one
    sys.stderr = io.StringIO()  # progress bars of several processes would overwrite each other
    tqdm.set_lock(threading.RLock())
    torch.set_num_threads(1)
    keep_freed_memory()

    def report(key: str, row: dict[str, Any]) -> None:
        pipe.send(Epoch(key, row))

    try:
        cache = None
        while True:
            group = pipe.recv()
            cache = cache or load_source(source)
            for result in run_group(cache, group, report):
                pipe.send(result)
    except (EOFError, OSError):
        return
    except CamoeError as error:
        pipe.send(error)


def load_source(source: Source) -> FeatureCache:
    """The store, on its device; raises `CamoeError` where it is not there, or is another by now."""
    try:
        return FeatureCache(
            source.features,
            protocol=source.protocol,
            allow_missing=source.allow_missing,
            device=resolve_device(source.device),
            content_hash=source.content_hash,
            resident=source.resident,
        )
    except OSError as error:
        raise RunStoppedError(f"the store cannot be read any more: {error}") from None


def run_group(cache: FeatureCache, group: Group, report: Report) -> Iterator[Result]:
    """The results of a group's runs; what goes wrong in one of them is its own result."""
    left = {run.key: run for run in group}
    is_trial = not group[0].on_test
    try:
        together = run_trial if is_trial else run_as_ensemble
        results = together(cache, group, report) if is_trial or len(group) > 1 else [run_alone(cache, group[0], report)]
        for result in results:
            del left[result.key]
            yield result
    except BrokenPipeError:
        raise
    except Exception as error:  # a cell must not take the others with it
        if is_trial or len(left) == 1:
            memory = "out of memory; lower batch_size, or use fewer --workers"
            for run in left.values():
                yield failed_result(run, memory if out_of_memory(error) else f"{type(error).__name__}: {error}")
        else:
            yield from _one_by_one(cache, tuple(left.values()), report, error)


def _one_by_one(cache: FeatureCache, left: Group, report: Report, error: Exception) -> Iterator[Result]:
    """What is left of an ensemble that failed is trained alone, so that only what is at fault fails."""
    for run in left:
        for result in run_group(cache, (run,), report):
            reason = f"trained alone, as its ensemble failed ({type(error).__name__}: {error})"
            yield replace(result, note=f"{result.note}; {reason}" if result.note else reason)
