"""The transfer matrix: every run on the store of every run."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..train.run_folder import Run, load_run
from .config import EvaluateConfig
from .ranked import rank
from .result import DIRECTIONS, FOLDER, Evaluation, write_json
from .run import describe
from .subject import open_subject


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
        return {"subset": self.subset, "cells": [[asdict(cell) for cell in row] for row in self.cells]}


def transfer_matrix(config: EvaluateConfig) -> Transfer:
    """Evaluate `run` and the runs of `transfer` on each other's stores; written into the folder of `run`.

    Raises `CamoeError` where a run and a store do not fit (another CLIP, streams that the store lacks); nothing is
    written then.
    """
    runs = [load_run(path) for path in (str(config.run_folder), *config.transfer)]
    cells = [[_cell(config, run, features, protocol) for features, protocol in _columns(runs)] for run in runs]
    transfer = Transfer(config.subset, cells)
    write_json(transfer.path, transfer.to_json())
    return transfer


def render_transfer(transfer: Transfer) -> str:
    """Raw R@1 of either direction: a row per run, a column per store."""
    columns = [f"{cell.store['name']} {cell.protocol} ({cell.store['content_hash'][:8]})" for cell in transfer.cells[0]]
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
    return "\n".join([*lines, "", str(transfer.path)])


def _columns(runs: list[Run]) -> list[tuple[tuple[str, ...], str]]:
    """Each distinct (store, protocol), in the order of the runs."""
    found = {
        (run.record["store"]["content_hash"], run.protocol): (run.features, run.protocol) for run in reversed(runs)
    }
    keys = dict.fromkeys((run.record["store"]["content_hash"], run.protocol) for run in runs)
    return [found[key] for key in keys]


def _cell(config: EvaluateConfig, run: Run, features: tuple[str, ...], protocol: str) -> Evaluation:
    asked = replace(config, transfer=(), features=features, protocol=protocol)
    subject = open_subject(asked, run)
    return describe(subject, rank(subject, asked), asked)


def _recalls(cell: Evaluation) -> str:
    own = "*" if cell.store["content_hash"] == cell.store["trained_on"] else " "
    return _pair(*(cell.rerankings["none"][direction]["R@1"] for direction in DIRECTIONS)) + own


def _pair(t2v: float, v2t: float) -> str:
    return f"{t2v:.1f} / {v2t:.1f}"
