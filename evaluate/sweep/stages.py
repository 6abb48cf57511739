"""The stages of a sweep, which a search shares: what is kept, the training of a plan's runs, and what is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from ...pipeline.atomic import write_atomic
from ...pipeline.cores import usable_cores
from ...pipeline.engines import Engine
from ...pipeline.errors import CamoeError, RunStoppedError
from ...pipeline.wording import counted
from ...train.names import DEVICE
from ...train.residence import Residence, choose_residence
from ..report.sweeps import write_sweep_page
from ..tidy import write_metrics
from .cells import Cells
from .code import code_version
from .config import SweepConfig
from .contrasts import markdown_contrasts
from .costs import Costs, cost_tables
from .elsewhere import work_elsewhere
from .export import write_tidy
from .folder import CELLS
from .grouping import group_runs
from .metrics import sweep_rows
from .overview import headlines, overview
from .plan import Plan
from .plots import write_plots
from .progress import Say, SweepProgress
from .result import FAILED, Result
from .summary import summarise
from .tables import latex, markdown
from .training_run import Group
from .workers import Epoch, Event, Source, work

SOME_FAILED = 3


@dataclass(frozen=True)
class Outcome:
    """What a sweep left in its folder."""

    folder: Path
    results: dict[str, Result]
    told: list[str]
    untuned: int = 0
    """Cells of a search none of whose trials came to its end."""

    @property
    def status(self) -> int:
        """The command's exit status: 0, or 3 where runs failed, or all trials of a cell did."""
        return SOME_FAILED if self.untuned or any(result.status == FAILED for result in self.results.values()) else 0


@dataclass(frozen=True)
class Crew:
    """Who trains, on the device of `source`: the workers of an engine, or without one processes of this machine."""

    source: Source
    device: torch.device
    processes: int
    engine: Engine | None

    @classmethod
    def of(cls, plan: Plan, config: SweepConfig, device: torch.device, engine: Engine | None, say: Say) -> Crew:
        """As the config asks for it; `say` hears where features stay that the device does not hold."""
        chosen = _residence(plan, config, device)
        if chosen.told and chosen.name != DEVICE:
            say(chosen.told)
        source = Source(
            config.features, plan.protocol, config.allow_missing, str(device), plan.store.content_hash, chosen.name
        )
        return cls(source, device, engine.room() if engine is not None else processes(config, device), engine)

    def work(self, groups: Sequence[Group]) -> Iterator[Event]:
        """The events of all groups as they come."""
        if self.engine is None:
            return work(self.source, groups, self.processes)
        return work_elsewhere(self.source, groups, self.engine)


def train(plan: Plan, results: dict[str, Result], crew: Crew, folder: Path, say: Say, *, ensemble: bool | None) -> None:
    """Train the runs of a plan that have no result yet; each is added to `results` and the folder when done."""
    stored = Cells(folder / CELLS)
    open_runs = {key: run for key, run in plan.runs.items() if key not in results}
    groups = group_runs(list(open_runs.values()), crew.device, crew.processes, ensemble=ensemble)
    say(f"{folder}: {len(results)} of {counted(len(plan.runs), 'run')} finished, {len(open_runs)} to do")
    with SweepProgress(open_runs, len(results), say) as progress:
        for event in crew.work(groups):
            if isinstance(event, Epoch):
                progress.epoch(event.key, event.row)
            elif event.key not in results:  # an engine may do a lost task twice
                results[event.key] = stored.write(event)
                progress.result(event)
    if left := open_runs.keys() - results.keys():
        raise RunStoppedError(f"the engine ended with {counted(len(left), 'run')} not done; the same command goes on")


def report(plan: Plan, results: dict[str, Result], costs: Costs, folder: Path, before: Sequence[str] = ()) -> list[str]:
    """Write every table, plot, the overview and its page from what there is; returns the overview's headlines.

    `before`: further sections of the overview.
    """
    write_tidy(plan, results, costs, folder)
    write_metrics(folder / "metrics.parquet", sweep_rows(plan, results, costs))
    tables = summarise(plan, results)
    plots = write_plots(tables, folder / "plots")
    write_atomic(folder / "table.md", markdown(plan, tables))
    write_atomic(folder / "table.tex", latex(plan, tables))
    write_atomic(folder / "overview.md", overview(plan, tables, results, costs, plots, before))
    write_atomic(folder / "contrasts.md", markdown_contrasts(tables))
    write_atomic(folder / "costs.md", cost_tables(tables, costs))
    write_sweep_page(folder)
    return headlines(plan, tables)


def kept(plan: Plan, config: SweepConfig) -> tuple[dict[str, Result], list[str]]:
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


def _residence(plan: Plan, config: SweepConfig, device: torch.device) -> Residence:
    """Every process holds what the runs read, once for each of raw and normalised."""
    configs = [run.config for run in plan.runs.values()]
    return choose_residence(
        plan.store,
        config.resident,
        {pair for own in configs for pair in own.strategies.items()},
        words=any(own.facts.words for own in configs),
        device=device,
        copies=processes(config, device) * len({own.facts.raw for own in configs}),
    )


def processes(config: SweepConfig, device: torch.device) -> int:
    """How many train at once on this machine."""
    return config.workers or (1 if device.type == "cuda" else usable_cores())
