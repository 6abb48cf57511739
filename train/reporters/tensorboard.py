"""TensorBoard: event files in the run folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...pipeline.extras import needs_extra
from . import Row


class TensorBoard:
    """A curve for each of an epoch's numbers; settings and tags as text."""

    name = "tensorboard"

    def __init__(self, folder: Path, title: str) -> None:
        with needs_extra("tensorboard", "--log tensorboard"):
            from torch.utils.tensorboard import SummaryWriter  # a slow import

        self.folder, self.make = folder, SummaryWriter
        self.writer: Any = None

    def start(self, config: Mapping[str, Any], tags: Sequence[str], past: Sequence[Row]) -> None:
        """What was written beyond the epoch that the run goes on from is hidden."""
        self.writer = self.make(str(self.folder), purge_step=past[-1]["epoch"] + 1 if past else None)
        if not past:
            lines = [f"    {key}: {value}" for key, value in config.items()]  # a code block, whatever is in it
            self.writer.add_text("config", "\n".join(lines), 0)
            self.writer.add_text("tags", "\n".join(f"    {tag}" for tag in tags), 0)

    def epoch(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def end(self, results: Mapping[str, Any] | None) -> None:
        self.writer.close()
