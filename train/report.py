"""Where each epoch's metrics go: `metrics.jsonl`, which is the run's own, and the reporters that were asked for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from ..pipeline.errors import CamoeError
from ..pipeline.json_text import parse_json
from ..pipeline.regular import read_regular
from .checkpoint import Checkpoint
from .reporters import Guarded, Reporter
from .run_folder import METRICS

Report = Callable[[dict[str, Any]], None]
"""Called with `{"epoch": …, "loss": …, "R@1": …, …}`."""

FINISH_SECONDS, STOP_SECONDS = 60.0, 5.0
"""What reporters may still take when a run has come to its end, and when it was stopped."""


@dataclass
class Reports:
    """`report` takes each epoch's row; `results` is what the run came to, none until it has come to its end."""

    stream: TextIO
    reporters: Sequence[Guarded]
    results: dict[str, Any] | None = None

    def report(self, row: dict[str, Any]) -> None:
        self.stream.write(json.dumps(row) + "\n")
        self.stream.flush()
        for reporter in self.reporters:
            reporter.call("epoch", dict(row), row["epoch"])


@contextmanager
def reporting(
    folder: Path,
    reporters: Sequence[Reporter],
    config: Mapping[str, Any],
    tags: Sequence[str],
    begun: Checkpoint | None = None,
) -> Iterator[Reports]:
    """Write one line per epoch to the run folder, and tell the reporters, whose errors are told and end no run.

    `begun` is the checkpoint that a resumed run goes on from: lines of later epochs are dropped.
    """
    path = folder / METRICS
    kept = _lines_until(path, begun.facts["epochs"]) if begun is not None else []
    path.write_text("".join(kept), encoding="utf-8")
    guarded = [Guarded(reporter) for reporter in reporters]
    with open(path, "a", encoding="utf-8") as stream:
        reports = Reports(stream, guarded)
        past = [json.loads(line) for line in kept]
        try:
            for reporter in guarded:
                reporter.call("start", config, tags, past)
            yield reports
        finally:
            for reporter in guarded:
                reporter.call("end", reports.results)
            for reporter in guarded:
                reporter.close(FINISH_SECONDS if reports.results is not None else STOP_SECONDS)


def _lines_until(path: Path, epoch: int) -> list[str]:
    """A killed run may have written further than its checkpoint, and half a line."""
    try:
        lines = [line for line in read_regular(path).splitlines(keepends=True) if line.endswith(b"\n")]
        epochs = [_epoch_of(line, number) for number, line in enumerate(lines, 1)]
        kept = [(line.decode(), told) for line, told in zip(lines, epochs, strict=True) if told <= epoch]
        if not kept or kept[-1][1] != epoch:
            raise ValueError(f"it does not reach epoch {epoch}, where the checkpoint is")
        return [line for line, _ in kept]
    except (OSError, ValueError) as error:
        raise CamoeError(
            f"{path} is damaged ({' '.join(str(error).split())}); use --overwrite instead of --resume to train anew"
        ) from None


def _epoch_of(line: bytes, number: int) -> int:
    try:
        row = parse_json(line)
    except ValueError:
        row = None
    epoch = row.get("epoch") if isinstance(row, dict) else None
    if type(epoch) is not int:
        raise ValueError(f"line {number} is not of an epoch")
    return epoch
