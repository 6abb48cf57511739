"""Where each epoch's metrics go: `metrics.jsonl`, and TensorBoard events where they are wanted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..pipeline.errors import CamoeError
from ..pipeline.extras import needs_extra
from ..pipeline.regular import read_regular
from .run_folder import METRICS

Report = Callable[[dict[str, Any]], None]
"""Called with `{"epoch": …, "loss": …, "R@1": …, …}`."""


@contextmanager
def reporter(folder: Path, *, tensorboard: bool, begun: int | None = None) -> Iterator[Report]:
    """A function that writes one line per epoch to the run folder.

    `begun` is the epoch that a resumed run goes on from: lines of later ones are dropped. Raises `CamoeError` where
    TensorBoard is wanted and not installed.
    """
    path = folder / METRICS
    kept = _lines_until(path, begun) if begun is not None else []
    path.write_text("".join(kept), encoding="utf-8")
    writer = _summary_writer(folder, begun) if tensorboard else None
    with open(path, "a", encoding="utf-8") as stream:

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


def _lines_until(path: Path, epoch: int) -> list[str]:
    """A killed run may have written further than its checkpoint, and half a line."""
    try:
        lines = read_regular(path).decode("utf-8").splitlines(keepends=True)
        kept = [line for line in lines if line.endswith("\n") and json.loads(line)["epoch"] <= epoch]
        if not kept or json.loads(kept[-1])["epoch"] != epoch:
            raise ValueError(f"it does not reach epoch {epoch}, where the checkpoint is")
        return kept
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CamoeError(
            f"{path} is damaged ({' '.join(str(error).split())}); use --overwrite instead of --resume to train anew"
        ) from None


def _summary_writer(folder: Path, begun: int | None) -> Any:
    with needs_extra("tensorboard", "--tensorboard"):
        from torch.utils.tensorboard import SummaryWriter  # a slow import

    return SummaryWriter(str(folder), purge_step=None if begun is None else begun + 1)
