"""Searches: `search(config)` draws and trains trials, chooses by val, and makes a sweep of what is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ....pipeline.errors import CamoeError, RunStoppedError
from ....pipeline.extras import needs_extra
from ....pipeline.wording import counted
from ....train.data import resolve_device
from ..cells import Cells
from ..code import code_version
from ..config import SweepConfig
from ..costs import measure_costs
from ..elsewhere import opened
from ..folder import CELLS, sweep_folder
from ..grid import Cell, Sweep, Table, shown
from ..plan import Plan, plan_of
from ..progress import Say
from ..result import Result
from ..settings import identity
from ..stages import Crew, Outcome, kept, report, train
from ..workers import Epoch
from .file import Search, described, read_search
from .progress import TrialProgress
from .report import section, told, write_trials
from .study import JOURNAL, open_studies, open_study, study_name
from .trials import Runs, Trials, Tuned

KEPT = "keep"


def search(config: SweepConfig, say: Say, *, ensemble: bool | None = None) -> Outcome:
    """Run the trials that are still to do, then train what is chosen as the cells of a sweep, and score it on test.

    Trials are recorded one by one; a search that was killed goes on, to the same trials where one worker trains them.
    Raises as `sweep` does, and `RunStoppedError` where no trial came to its end.
    """
    with needs_extra("optuna", "--search"):
        import optuna  # noqa: F401  before anything is written
    asked = read_search(config)
    plan = plan_of(asked.sweep, config)
    device = resolve_device(config.device)
    note = described(asked) | {"cells": [name for name, _ in _cells(asked, plan)]}
    with (
        opened(config, device, say) as engine,
        sweep_folder(
            config.folder(plan.sweep.name), replace(plan, runs={}), extend=config.extend, search=note
        ) as folder,
    ):
        crew = Crew.of(plan, config, device, engine, say)
        runs = Runs(asked, plan, Cells(folder / CELLS), any_code=config.other_code == KEPT)
        studies = _studies(asked, plan, folder)
        results = _results(studies, runs, folder, say)
        try:
            _tune(asked, studies, runs, results, crew, folder, say)
        finally:
            write_trials(asked, studies, runs, results, folder)
        chosen = _chosen(asked, plan, studies, config)
        final, lines = kept(chosen, config)
        for line in lines:
            say(line)
        costs = measure_costs(chosen, folder)
        try:
            train(chosen, final, crew, folder, say, ensemble=ensemble)
        finally:
            lines = report(chosen, final, costs, folder, [section(asked, studies, results, folder)])
    untuned = sum(tuned.study.best is None for tuned in studies)
    return Outcome(folder, final, [*told(asked, studies, folder), "", *lines], untuned)


def preview(config: SweepConfig) -> str:
    """What a search would do; mistakes are found as `search` finds them, and nothing is written."""
    asked = read_search(config)
    plan = plan_of(asked.sweep, config)
    lines = [f"{name}: {part}" for name, part in asked.space.items()]
    tuned = _cells(asked, plan)
    lines += [f"cell {name.rpartition(' ')[0]}: {', '.join(asked.space_of(cell))}" for name, cell in tuned]
    seeds = ", ".join(map(str, asked.trial_seeds))
    lines.append(
        f"{counted(asked.trials, 'trial')} of {counted(len(tuned), 'cell')}, each with seeds {seeds}: "
        f"{counted(asked.trials * len(tuned) * len(asked.trial_seeds), 'training run')}; sampler {asked.sampler} "
        f"{asked.sampler_seed}, pruner {asked.pruner.name}, by val {asked.objective}"
    )
    lines.append(
        f"then {counted(len(plan.runs), 'training run')} of what is chosen, scored on test as "
        f"{counted(len(plan.sweep.cells), 'cell')} (re-rankings are cells too)"
    )
    return "\n".join([*lines, *(f"left out: {reason}" for reason in plan.left_out)])


def _cells(search: Search, plan: Plan) -> list[tuple[str, Cell]]:
    """The cells that have a study, with its name: those that differ only in their re-ranking share one."""
    found: dict[str, tuple[str, Cell]] = {}
    for cell in plan.sweep.cells:
        space = search.space_of(cell)
        if space:
            own = {name: value for name, value in cell.own.items() if not name.startswith("rerank")}
            name = cell.label or ", ".join(f"{name}={shown(value)}" for name, value in own.items()) or "base"
            fixed = {name: value for name, value in identity(cell.config).items() if name not in space}
            dependence: dict[str, Any] = {"cell": fixed, **described(search)}
            found.setdefault(_training(cell), (study_name(name, dependence), cell))
    return list(found.values())


def _training(cell: Cell) -> str:
    """The same for cells that share their trials."""
    return str(identity(cell.config))


def _studies(search: Search, plan: Plan, folder: Path) -> list[Tuned]:
    path = folder / JOURNAL
    storage = open_studies(path)
    return [
        Tuned(name.rpartition(" ")[0], cell, open_study(name, search.space_of(cell), search, storage, path))
        for name, cell in _cells(search, plan)
    ]


def _results(studies: Sequence[Tuned], runs: Runs, folder: Path, say: Say) -> dict[str, Result]:
    """The results of the trials that are done; raises `CamoeError` where other code made some, unless they count."""
    found: dict[str, Result] = {}
    for tuned in studies:
        for trial in tuned.study.trials:
            for run in runs.of(tuned, trial):
                try:
                    result = runs.stored.read(run.key)
                except CamoeError as error:
                    say(f"{error}; what its trial came to is known by the study: {run.name}")
                    continue
                if result is not None:
                    found[run.key] = result
    codes = sorted({result.code for result in found.values()} - {code_version()})
    if codes and not runs.any_code:
        raise CamoeError(
            f"{folder}: another version of the code made trials of this search ({', '.join(codes)}; this is "
            f"{code_version()}); begin anew with another --out, or go on with --other-code {KEPT}"
        )
    return found


def _tune(
    search: Search,
    studies: Sequence[Tuned],
    runs: Runs,
    results: dict[str, Result],
    crew: Crew,
    folder: Path,
    say: Say,
) -> None:
    trials = Trials(search, studies, runs)
    total = len(trials) + sum(len(tuned.study.trials) for tuned in studies)
    say(f"{folder}: {total - len(trials)} of {counted(total, 'trial')} done, {len(trials)} to do")
    with TrialProgress(total, len(trials), search.objective, say) as progress:
        for event in crew.work(trials):
            if isinstance(event, Epoch):
                continue
            results[event.key] = runs.stored.write(event)
            if (done := trials.end(event)) is not None:
                progress.done(*done)
    if progress.left:
        raise RunStoppedError(
            f"the engine ended with {counted(progress.left, 'trial')} not done; the same command goes on"
        )


def _chosen(search: Search, plan: Plan, studies: Sequence[Tuned], config: SweepConfig) -> Plan:
    """The sweep's plan with every cell's best settings; a cell without any is left out."""
    by_training = {_training(tuned.cell): tuned for tuned in studies}
    left_out: list[str] = []
    tables: list[Table] = []
    for table in plan.sweep.tables:
        cells = []
        for cell in table.cells:
            tuned = by_training.get(_training(cell))
            best = tuned.study.best if tuned else None
            if tuned and best is None:
                left_out.append(f"{table.name}: {cell.name}: no trial came to its end; the reasons are in trials.md")
            else:
                values = best.values if best else {}
                cells.append(replace(cell, config=replace(cell.config, **values)))
        tables += [replace(table, cells=cells)] if cells else []
    if not tables:
        raise RunStoppedError(f"no trial came to its end; trials.md in {config.folder(plan.sweep.name)} says why")
    chosen = plan_of(Sweep(plan.sweep.name, tables, plan.sweep.seeds), config, plan.store)
    names = ", ".join(name.replace("_", " ") for name in search.space)
    tuned_by = f"{names} of each model chosen on val {search.objective} among {counted(search.trials, 'trial')}"
    return replace(chosen, left_out=[*plan.left_out, *left_out], tuned=tuned_by)
