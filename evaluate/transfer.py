"""The transfer matrix: every run on the store of every run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..pipeline.too_few import too_few
from ..train.run_folder import Run, load_run
from .config import EvaluateConfig
from .names import NONE
from .ranked import rank_subset
from .result import FOLDER, Evaluation, check_results_folder, write_json
from .run import describe
from .subject import open_subject
from .table import told_otherwise


@dataclass(frozen=True)
class Transfer:
    """`cells[i][j]` is run i on the store and protocol of run j; of several runs on one store, the first gives it."""

    subset: str
    cells: list[list[Evaluation]]

    @property
    def path(self) -> Path:
        """Where its JSON lies: in the first run's folder."""
        return Path(self.cells[0][0].run) / FOLDER / f"transfer-{self.subset}.json"

    def to_json(self) -> dict[str, Any]:
        return {"subset": self.subset, "cells": [[cell.to_json() for cell in row] for row in self.cells]}


def transfer_matrix(config: EvaluateConfig) -> Transfer:
    """Evaluate `run` and the runs of `transfer` on each other's stores; written into the folder of `run`.

    Raises `CamoeError` where a run and a store do not fit (another CLIP, streams that the store lacks); nothing is
    written then.
    """
    check_results_folder(config.run_folder)
    runs = [load_run(path) for path in (str(config.run_folder), *config.transfer)]
    cells = [[_cell(config, run, features, protocol) for features, protocol in _columns(runs)] for run in runs]
    transfer = Transfer(config.subset, cells)
    write_json(transfer.path, transfer.to_json())
    return transfer


def render_transfer(transfer: Transfer) -> str:
    """Raw R@1 of either direction: a row per run, a column per store."""
    columns = [f"{cell.store.name} {cell.protocol} ({cell.store.content_hash[:8]})" for cell in transfer.cells[0]]
    rows = [*(row[0].run for row in transfer.cells), "a guess"]
    width, first = max(map(len, columns)), max(map(len, rows))
    lines = [
        f"raw R@1 (percent), subset {transfer.subset}: text to video / video to text; * is the run's own store",
        "",
    ]
    lines.append("  ".join([" " * first, *(f"{name:>{width}}" for name in columns)]))
    cells = [[_recalls(cell) for cell in row] for row in transfer.cells]
    cells.append([_pair(100 / cell.videos, 100 / cell.videos) + " " for cell in transfer.cells[0]])
    for name, row in zip(rows, cells, strict=True):
        lines.append("  ".join([f"{name:<{first}}", *(f"{cell:>{width}}" for cell in row)]))
    return "\n".join([*lines, "", *_notes(transfer), str(transfer.path)])


def _notes(transfer: Transfer) -> list[str]:
    """What to know when reading the numbers: stores of few videos, and stores that were made otherwise."""
    few = [
        f"{cell.store.name} ({cell.store.content_hash[:8]}): {sentence}"
        for cell in transfer.cells[0]
        if (sentence := too_few(cell.videos, f"{transfer.subset} videos"))
    ]
    cells = [cell for row in transfer.cells for cell in row if cell.store.made_otherwise]
    return [*few, *(f"{cell.run} on {cell.store.name}: {told_otherwise(cell.store)}" for cell in cells)]


def _columns(runs: list[Run]) -> list[tuple[tuple[str, ...], str]]:
    """Each distinct (store, protocol), in the order of the runs."""
    found = {
        (run.record["store"]["content_hash"], run.protocol): (run.features, run.protocol) for run in reversed(runs)
    }
    keys = dict.fromkeys((run.record["store"]["content_hash"], run.protocol) for run in runs)
    return [found[key] for key in keys]


def _cell(config: EvaluateConfig, run: Run, features: tuple[str, ...], protocol: str) -> Evaluation:
    subset, method = config.subset, config.method
    subject = open_subject(
        run, features, protocol=protocol, subset=subset, allow_missing=config.allow_missing, device=config.device
    )
    return describe(subject, rank_subset(subject.scorer, subset, method), method, subset=subset)


def _recalls(cell: Evaluation) -> str:
    raw = cell.rerankings[NONE]
    return _pair(raw.t2v["R@1"], raw.v2t["R@1"]) + ("*" if cell.store.own else " ")


def _pair(t2v: float, v2t: float) -> str:
    return f"{t2v:.1f} / {v2t:.1f}"
