"""What a search leaves beside a sweep's tables: its trials as tables, and a config of each cell's best."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain, count
from pathlib import Path
from shlex import quote
from typing import Any

from ....pipeline.atomic import write_atomic
from ....pipeline.config import dump_config
from ....pipeline.wording import counted
from ..export import settings_of, write_table
from ..grid import shown
from ..plan import Plan
from ..progress import clock
from ..result import FAILED, PRUNED, TRIED, Result
from ..tables import Style
from ..training_run import TrainingRun
from .file import Search, with_values
from .progress import HOW, named
from .study import Trial
from .trials import Runs, Tuned

BEST = "best"
_LONGEST = 50
"""Letters of a file's name, which may take 255 bytes: up to four a letter."""


def write_trials(
    search: Search, studies: Sequence[Tuned], runs: Runs, results: Mapping[str, Result], folder: Path
) -> None:
    """`trials.csv` and parquet, a row a trial and seed; `trials.md`; `best/CELL.yaml` for `camoe-train --config`."""
    rows = [
        _row(tuned, trial, run, results.get(run.key), runs.plan, search)
        for tuned in studies
        for trial in tuned.study.trials
        for run in runs.of(tuned, trial)
    ]
    if not rows:
        return
    write_table(rows, folder / "trials")
    write_atomic(folder / "trials.md", "\n\n".join(_table(tuned, search, runs, results) for tuned in studies) + "\n")
    (folder / BEST).mkdir(exist_ok=True)
    for tuned, name in zip(studies, file_names(studies), strict=True):
        if (best := tuned.study.best) is not None:
            write_atomic(folder / BEST / name, _config(tuned, best, runs, search))


def section(search: Search, studies: Sequence[Tuned], results: Mapping[str, Result], folder: Path) -> str:
    """The search in an overview's words: a line a cell, with the command that trains its best alone.

    `results` are those of the trials.
    """
    lines = ["## The search", "", *told(search, studies, folder), ""]
    space = "; ".join(f"{name} {part}" for name, part in search.space.items())
    seconds = clock(sum(result.seconds for result in results.values()))
    lines.append(
        f"Searched in every cell that reads it: {space}. Settings are chosen by val {search.objective}, mean over "
        f"seeds {', '.join(map(str, search.trial_seeds))}; a trial is never scored on test. Training the trials took "
        f"{seconds} in all, summed over processes. What was chosen is trained again with the seeds of the tables "
        "below. All trials: `trials.md`."
    )
    return "\n".join(lines)


def told(search: Search, studies: Sequence[Tuned], folder: Path) -> list[str]:
    """A line a cell: its trials, the best of them and the command that trains it."""
    lines = []
    for tuned, name in zip(studies, file_names(studies), strict=True):
        best, counts = tuned.study.best, Counter(trial.status for trial in tuned.study.trials)
        ends = [f"{counts[status]} {HOW[status]}" for status in (PRUNED, FAILED) if counts[status]]
        line = f"- {tuned.name}: {counted(counts.total(), 'trial')}" + (f" ({', '.join(ends)})" if ends else "")
        if best is not None:
            line += f"; best on val: trial {best.number} ({named(best.values)}), {search.objective} {best.value:.1f}."
            line += f" Train it alone: `camoe-train --config {quote(str(folder / BEST / name))}`"
        lines.append(line)
    return lines


def file_names(studies: Sequence[Tuned]) -> list[str]:
    """A file's name for each cell, by its own; no two are one where capitals do not count."""
    found: dict[str, str] = {}
    for tuned in studies:
        stem = re.sub(r"[^\w.=+-]+", "-", tuned.name).strip("-.")[:_LONGEST] or "cell"
        names = (f"{stem}{end}.yaml" for end in chain([""], (f"-{number}" for number in count(2))))
        name = next(name for name in names if name.casefold() not in found)
        found[name.casefold()] = name
    return list(found.values())


def _row(
    tuned: Tuned, trial: Trial, run: TrainingRun, result: Result | None, plan: Plan, search: Search
) -> dict[str, Any]:
    cell = with_values(tuned.cell, trial.values)
    return {
        "cell": tuned.name,
        "trial": trial.number,
        "seed": run.config.seed,
        "status": trial.status,
        "reason": result.reason if result else "",
        "chosen": tuned.study.best is not None and trial.number == tuned.study.best.number,
        f"trial's val {search.objective}": trial.value,
        **settings_of(cell),
        "val R@1": result.best.get("R@1") if result else None,
        "best_epoch": result.best.get("epoch") if result else None,
        "epochs_trained": result.curve[-1]["epoch"] if result and result.curve else None,
        "parameters": result.parameters if result and result.status == TRIED else None,
        "seconds": result.seconds if result else None,
        "protocol": plan.protocol,
        "store": plan.store.content_hash,
        "training": run.key,
    }


def _table(tuned: Tuned, search: Search, runs: Runs, results: Mapping[str, Result]) -> str:
    style, names, best = Style("md"), list(tuned.study.space), tuned.study.best
    heads = ["trial", *(name.replace("_", " ") for name in names), f"val {search.objective}", "best epoch", ""]
    rule = "|".join(["--:"] * (len(heads) - 1))
    lines = [f"## {tuned.name}: trials", "", f"| {' | '.join(heads)} |", f"|{rule}|:--|"]
    for trial in tuned.study.trials:
        found = [results[run.key] for run in runs.of(tuned, trial) if run.key in results]
        epochs = "–" if not found or trial.value is None else ", ".join(str(one.best["epoch"]) for one in found)
        value = "–" if trial.value is None else f"{trial.value:.1f}"
        cells = [str(trial.number), *(shown(trial.values[name]) for name in names)]
        cells += [style.bold(value) if trial == best else value, epochs, _ending(trial, found)]
        lines.append(f"| {' | '.join(map(style.text, cells))} |")
    over = counted(len(search.trial_seeds), "seed")
    return "\n".join([*lines, "", f"On val, at each run's best epoch, mean over {over}; bold: chosen."])


def _ending(trial: Trial, found: Sequence[Result]) -> str:
    reasons = list(dict.fromkeys(result.reason for result in found if result.reason))
    return "" if trial.status == TRIED else reasons[0] if reasons else HOW[str(trial.status)]


def _config(tuned: Tuned, best: Trial, runs: Runs, search: Search) -> str:
    plan = runs.plan
    config = replace(runs.of(tuned, best)[0].config, protocol=plan.protocol, allow_missing=plan.allow_missing)
    told = f"trial {best.number} of {len(tuned.study.trials)}, val {search.objective} {best.value:.2f}"
    return f"# {' '.join(tuned.name.split())}: {told}\n{dump_config(config)}"
