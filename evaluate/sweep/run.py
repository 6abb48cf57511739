"""Sweeps: `sweep(config)` trains and evaluates every cell of a grid and writes tables, plots and an overview."""

from __future__ import annotations

from collections.abc import Callable

from ...train.data import resolve_device
from .config import SweepConfig
from .costs import measure_costs
from .elsewhere import opened
from .folder import sweep_folder
from .grouping import group_runs
from .listing import listing
from .plan import make_plan
from .stages import Crew, Outcome, kept, processes, report, train

__all__ = ["Outcome", "dry_run", "sweep"]


def sweep(config: SweepConfig, say: Callable[[str], None] = print, *, ensemble: bool | None = None) -> Outcome:
    """Run a grid, keeping what its folder already has; `ensemble` forces or forbids training cells together.

    A run that fails is recorded and the others go on. Results are written one by one, the tables at the end, or when
    the sweep is interrupted. Raises `CamoeError` before the first cell for a grid, a store or a folder that does not
    fit, `RunStoppedError` when the store changes while it runs.
    """
    if config.search:
        from .tuning.run import search

        return search(config, say, ensemble=ensemble)
    plan = make_plan(config)
    device = resolve_device(config.device)
    kept(plan, config)  # refuses what other code made, before the folder is touched
    with (
        opened(config, device, say) as engine,
        sweep_folder(config.folder(plan.sweep.name), plan, extend=config.extend) as folder,
    ):
        results, told = kept(plan, config)
        for line in told:
            say(line)
        costs = measure_costs(plan, folder)  # before the processes that would share its core
        try:
            train(plan, results, Crew.of(plan, config, device, engine, say), folder, say, ensemble=ensemble)
        finally:
            told = report(plan, results, costs, folder)
    return Outcome(folder, results, told)


def dry_run(config: SweepConfig, *, ensemble: bool | None = None) -> str:
    """The cells and groups of a sweep, which is not begun; mistakes are found as `sweep` finds them."""
    if config.search:
        from .tuning.run import preview

        return preview(config)
    plan = make_plan(config)
    found, told = kept(plan, config)
    left = [run for key, run in plan.runs.items() if key not in found]
    device = resolve_device(config.device)
    groups = group_runs(left, device, processes(config, device), ensemble=ensemble)
    return "\n".join([*told, listing(plan, groups, len(found))])
