"""Sweeps: `sweep(config)` trains and evaluates every cell of a grid and writes tables, plots and an overview."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from ...pipeline.atomic import write_atomic
from ...train.data import resolve_device
from .config import SweepConfig
from .export import write_tidy
from .folder import CELLS, sweep_folder
from .jobs import make_jobs
from .listing import listing
from .live import Live
from .overview import headlines, overview
from .plan import Plan, make_plan
from .plots import write_plots
from .result import FAILED, Result, Results
from .summary import summarise
from .tables import latex, markdown
from .workers import Epoch, Job, Source, work

SOME_FAILED = 3


@dataclass(frozen=True)
class Outcome:
    """What a sweep left in its folder."""

    folder: Path
    results: dict[str, Result]
    told: list[str]

    @property
    def status(self) -> int:
        """The command's exit status: 0, or 3 where runs failed."""
        return SOME_FAILED if any(result.status == FAILED for result in self.results.values()) else 0


def sweep(config: SweepConfig, say: Callable[[str], None] = print, *, ensemble: bool | None = None) -> Outcome:
    """Run a grid, keeping what its folder already has; `ensemble` forces or forbids training cells together.

    A run that fails is recorded and the others go on. Results are written one by one, the tables at the end, or when
    the sweep is interrupted. Raises `CamoeError` before the first cell for a grid, a store or a folder that does not
    fit, `RunStoppedError` when the store changes while it runs.
    """
    plan = make_plan(config)
    device = resolve_device(config.device)
    with sweep_folder(config.folder(plan.sweep.name), plan, extend=config.extend) as folder:
        stored = Results(folder / CELLS)
        results = _kept(plan, stored, retry_failed=config.retry_failed)
        open_runs = {key: training for key, training in plan.trainings.items() if key not in results}
        processes = _processes(config, device)
        jobs = make_jobs(list(open_runs.values()), device, processes, ensemble=ensemble)
        say(f"{folder}: {len(results)} of {len(plan.trainings)} runs are there, {len(open_runs)} to do")
        source = Source(config.features, plan.protocol, config.allow_missing, str(device), plan.store.content_hash)
        try:
            _run(source, jobs, processes, Live(open_runs, len(results), say), stored, results)
        finally:
            told = report(plan, results, folder)
    return Outcome(folder, results, told)


def dry_run(config: SweepConfig, *, ensemble: bool | None = None) -> str:
    """The cells and groups of a sweep, which is not begun; mistakes are found as `sweep` finds them."""
    plan = make_plan(config)
    kept = _kept(plan, Results(config.folder(plan.sweep.name) / CELLS), retry_failed=config.retry_failed)
    left = [training for key, training in plan.trainings.items() if key not in kept]
    device = resolve_device(config.device)
    jobs = make_jobs(left, device, _processes(config, device), ensemble=ensemble)
    return listing(plan, jobs, len(kept))


def report(plan: Plan, results: dict[str, Result], folder: Path) -> list[str]:
    """Write every table, plot and the overview from what there is; returns the overview's headlines."""
    write_tidy(plan, results, folder)
    tables = summarise(plan, results)
    plots = write_plots(tables, folder / "plots")
    write_atomic(folder / "table.md", markdown(plan, tables))
    write_atomic(folder / "table.tex", latex(plan, tables))
    write_atomic(folder / "overview.md", overview(plan, tables, results, plots))
    return headlines(plan, tables)


def _kept(plan: Plan, stored: Results, *, retry_failed: bool) -> dict[str, Result]:
    found = {key: stored.read(key) for key in plan.trainings}
    return {
        key: result
        for key, result in found.items()
        if result is not None and not (retry_failed and result.status == FAILED)
    }


def _run(
    source: Source, jobs: list[Job], processes: int, live: Live, stored: Results, results: dict[str, Result]
) -> None:
    with live:
        for event in work(source, jobs, processes):
            if isinstance(event, Epoch):
                live.epoch(event.key, event.row)
            else:
                stored.write(event)
                results[event.key] = event
                live.result(event)


def _processes(config: SweepConfig, device: torch.device) -> int:
    return config.workers or (1 if device.type == "cuda" else _cores())


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
