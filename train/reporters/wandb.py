"""Weights & Biases: a run in the folder's `wandb/`, kept there unless the user's own settings say online.

wandb hooks into the interpreter, starts threads and waits for the network; so it is given a process of its own
(`wandb_process.py`), which can be left or ended at any time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ...pipeline.extras import needs_extra
from . import Row

FINISH_SECONDS, STOP_SECONDS = 50.0, 3.0
"""What it may take to send the rest of a run that has come to its end, and of one that was stopped."""
TELEMETRY = {"WANDB_ERROR_REPORTING": "false"}
"""wandb sends figures about itself, even offline; not from here, unless the user's environment has a word on it."""


class WeightsAndBiases:
    """A run of the folder's name with settings, tags, every epoch, and at the end the summary.

    A run that is resumed has the id of its first part and tells all its epochs again: whichever part is sent last is
    whole.
    """

    name = "wandb"

    def __init__(self, folder: Path, title: str) -> None:
        with needs_extra("wandb", "--log wandb"):
            found = find_spec("wandb")
            if found is None or found.origin is None:  # a folder of that name, as wandb itself makes them
                raise ModuleNotFoundError(name="wandb")
        self.folder, self.title = folder, title
        self.process: subprocess.Popen[str] | None = None

    def start(self, config: Mapping[str, Any], tags: Sequence[str], past: Sequence[Row]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "camoe.train.reporters.wandb_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=TELEMETRY | os.environ,
            text=True,
            start_new_session=True,  # an interrupt is for the run
        )
        run = {"folder": str(self.folder.absolute()), "id": _earlier_id(self.folder), "name": self.title}
        self._tell(run | {"config": config, "tags": tags})
        for row in past:
            self.epoch(row, row["epoch"])

    def epoch(self, values: Mapping[str, float], step: int) -> None:
        self._tell({"values": values, "step": step})

    def end(self, results: Mapping[str, Any] | None) -> None:
        """What is not sent in time is in the folder, where `wandb sync` finds it."""
        assert self.process is not None
        seconds = STOP_SECONDS if results is None else FINISH_SECONDS
        try:
            said, _ = self.process.communicate(json.dumps({"results": results}) + "\n", timeout=seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise TimeoutError(f"it did not end within {seconds:g} s; what it has is in the run folder") from None
        finally:
            for link in (self.folder / "wandb").glob("*/logs/debug-core.log"):  # leads out of the folder
                link.unlink(missing_ok=True)
        if said.strip():
            raise RuntimeError(said)

    def _tell(self, message: Mapping[str, Any]) -> None:
        """Send one line; raises `RuntimeError` with the process's reason where it has ended."""
        assert self.process is not None
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(message) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise RuntimeError(self.process.stdout.read()) from None


def _earlier_id(folder: Path) -> str | None:
    """The id of the run's earlier part, which its folder's name ends with."""
    parts = sorted((folder / "wandb").glob("*run-*-*"), key=lambda path: path.name.removeprefix("offline-"))
    return parts[-1].name.rpartition("-")[2] if parts else None
