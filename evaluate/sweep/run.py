"""Sweeps: `sweep(config)` trains and evaluates every cell of a grid and writes tables, plots and an overview."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from ...pipeline.atomic import write_atomic
from ...pipeline.errors import CamoeError
from ...pipeline.wording import counted
from ...train.data import resolve_device
from ...train.names import DEVICE
from ...train.residence import Residence, choose_residence
from ..report.sweeps import write_sweep_page
from .cells import Cells
from .code import code_version
from .config import SweepConfig
from .costs import Costs, cost_tables, measure_costs
from .export import write_tidy
from .folder import CELLS, sweep_folder
from .grouping import group_runs
from .listing import listing
from .on_cluster import joined, work_on_cluster
from .overview import headlines, overview
from .plan import Plan, make_plan
from .plots import write_plots
from .progress import SweepProgress
from .result import FAILED, Result
from .summary import summarise
from .tables import latex, markdown
from .workers import Epoch, Event, Source, work

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
    _kept(plan, config)  # refuses what other code made, before the folder is touched
    with (
        joined(config, device, say) as cluster,
        sweep_folder(config.folder(plan.sweep.name), plan, extend=config.extend) as folder,
    ):
        stored = Cells(folder / CELLS)
        results, told = _kept(plan, config)
        for line in told:
            say(line)
        open_runs = {key: run for key, run in plan.runs.items() if key not in results}
        processes = cluster.room() if cluster is not None else _processes(config, device)
        groups = group_runs(list(open_runs.values()), device, processes, ensemble=ensemble)
        say(f"{folder}: {len(results)} of {counted(len(plan.runs), 'run')} finished, {len(open_runs)} to do")
        chosen = _residence(plan, config, device)
        if chosen.told and chosen.name != DEVICE:
            say(chosen.told)
        source = Source(
            config.features, plan.protocol, config.allow_missing, str(device), plan.store.content_hash, chosen.name
        )
        costs = measure_costs(plan, folder)  # before the processes that would share its core
        try:
            events = work(source, groups, processes) if cluster is None else work_on_cluster(source, groups, cluster)
            _run(events, SweepProgress(open_runs, len(results), say), stored, results)
        finally:
            told = report(plan, results, costs, folder)
    return Outcome(folder, results, told)


def dry_run(config: SweepConfig, *, ensemble: bool | None = None) -> str:
    """The cells and groups of a sweep, which is not begun; mistakes are found as `sweep` finds them."""
    plan = make_plan(config)
    kept, told = _kept(plan, config)
    left = [run for key, run in plan.runs.items() if key not in kept]
    device = resolve_device(config.device)
    groups = group_runs(left, device, _processes(config, device), ensemble=ensemble)
    return "\n".join([*told, listing(plan, groups, len(kept))])


def report(plan: Plan, results: dict[str, Result], costs: Costs, folder: Path) -> list[str]:
    """Write every table, plot, the overview and its page from what there is; returns the overview's headlines."""
    write_tidy(plan, results, folder)
    tables = summarise(plan, results)
    plots = write_plots(tables, folder / "plots")
    write_atomic(folder / "table.md", markdown(plan, tables))
    write_atomic(folder / "table.tex", latex(plan, tables))
    write_atomic(folder / "overview.md", overview(plan, tables, results, costs, plots))
    write_atomic(folder / "costs.md", cost_tables(tables, costs))
    write_sweep_page(folder)
    return headlines(plan, tables)


def _kept(plan: Plan, config: SweepConfig) -> tuple[dict[str, Result], list[str]]:
    """The results that are there already, and what to say of those that are not taken over.

    Raises `CamoeError` for runs that other code made, unless the config says what to do with them.
    """
    cells = Cells(config.folder(plan.sweep.name) / CELLS)
    found: dict[str, Result] = {}
    told = []
    for key, run in plan.runs.items():
        try:
            result = cells.read(key)
        except CamoeError as error:
            told.append(f"{error}; its run is trained again: {run.name}")
            continue
        if result is not None and not (config.retry_failed and result.status == FAILED):
            found[key] = result
    other = {key: result for key, result in found.items() if result.code != code_version()}
    if other:
        told.append(_of_other_code(plan, config, other))
    if config.other_code == "train":
        found = {key: result for key, result in found.items() if key not in other}
    return found, told


def _of_other_code(plan: Plan, config: SweepConfig, other: dict[str, Result]) -> str:
    codes = ", ".join(sorted({result.code or "before codes were recorded" for result in other.values()}))
    first = plan.runs[next(iter(other))].name
    told = (
        f"{config.folder(plan.sweep.name)}: another version of the code made {len(other)} of "
        f"{counted(len(plan.runs), 'run')} ({codes}; this is {code_version()}; first: {first})"
    )
    if config.other_code == "refuse":
        raise CamoeError(f"{told}; train them again with --other-code train, or mix them with --other-code keep")
    return told + ("; they are trained again" if config.other_code == "train" else "; they are kept beside new ones")


def _run(events: Iterator[Event], progress: SweepProgress, stored: Cells, results: dict[str, Result]) -> None:
    with progress:
        for event in events:
            if isinstance(event, Epoch):
                progress.epoch(event.key, event.row)
            else:
                results[event.key] = stored.write(event)
                progress.result(event)


def _residence(plan: Plan, config: SweepConfig, device: torch.device) -> Residence:
    """Every process holds what the runs read, once for each of raw and normalised."""
    configs = [run.config for run in plan.runs.values()]
    return choose_residence(
        plan.store,
        config.resident,
        {pair for own in configs for pair in own.strategies.items()},
        words=any(own.facts.words for own in configs),
        device=device,
        copies=_processes(config, device) * len({own.facts.raw for own in configs}),
    )


def _processes(config: SweepConfig, device: torch.device) -> int:
    return config.workers or (1 if device.type == "cuda" else _cores())


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
