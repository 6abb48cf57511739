"""Where each epoch's metrics go: `metrics.jsonl`, and TensorBoard events where they are wanted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .run_folder import METRICS

Report = Callable[[dict[str, Any]], None]
"""Called with `{"epoch": …, "loss": …, "R@1": …, …}`."""


@contextmanager
def reporter(folder: Path, *, tensorboard: bool) -> Iterator[Report]:
    """A function that writes one line per epoch to the run folder."""
    writer = None
    if tensorboard:
        from torch.utils.tensorboard import SummaryWriter  # a slow import

        writer = SummaryWriter(str(folder))
    with open(folder / METRICS, "w", encoding="utf-8") as stream:

        def report(row: dict[str, Any]) -> None:
            stream.write(json.dumps(row) + "\n")
            stream.flush()
            if writer is not None:
                for name, value in row.items():
                    writer.add_scalar(name, value, row["epoch"])

        try:
            yield report
        finally:
            if writer is not None:
                writer.close()
