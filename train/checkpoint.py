"""Checkpoints: all that a run in the making needs to go on bit for bit, in one safetensors file.

Tensors are the model, the optimiser's moments, the states of the generators and the best model so far; the file's
metadata holds the rest as JSON, and a checksum of everything. A checkpoint is published whole or not at all.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch

from ..pipeline.errors import CamoeError
from ..pipeline.sealed import DamagedError, read_sealed, write_sealed
from ..pipeline.wording import short_hash
from .config import TrainConfig
from .record import FORMAT

CHECKPOINT = "checkpoint.safetensors"
MAY_CHANGE = ("features", "out", "overwrite", "checkpoint_seconds", "log", "tensorboard", "tags", "resident")
"""Settings that leave the bits of a run alone; a store is known by its content, wherever it lies."""


@dataclass(frozen=True)
class Checkpoint:
    """`identity`: what the run is of; `facts`: JSON values; `tensors`: by name, on the CPU."""

    identity: dict[str, Any]
    facts: dict[str, Any]
    tensors: dict[str, torch.Tensor]

    def group(self, prefix: str) -> dict[str, torch.Tensor]:
        """The tensors under `prefix.`, without it."""
        return {
            name.removeprefix(f"{prefix}."): tensor
            for name, tensor in self.tensors.items()
            if name.startswith(f"{prefix}.")
        }


def identity_of(config: TrainConfig, store_hash: str, device: str, start: str | None) -> dict[str, Any]:
    """What a run that goes on must share with the one that began."""
    values = {name: value for name, value in asdict(config).items() if name not in MAY_CHANGE}
    values |= {"device": device, "store": store_hash, "start": start}
    same: dict[str, Any] = json.loads(json.dumps(values))
    return same


def refuse_other(where: Path, begun: dict[str, Any], asked: dict[str, Any]) -> None:
    """Raise `CamoeError`, naming both values, where the run at `where` is another than the one asked for.

    A setting that an earlier version did not have was, as it were, at its default.
    """
    begun = {item.name: item.default for item in fields(TrainConfig) if item.name not in MAY_CHANGE} | begun
    for name in asked:
        if begun.get(name) != asked[name]:
            what = "a store with content hash" if name == "store" else name
            shown = (lambda value: short_hash(str(value))) if name == "store" else _shown
            raise CamoeError(
                f"{where} was begun with {what} {shown(begun.get(name))}, not {shown(asked[name])}; "
                "resume it with what it was begun with, or use --overwrite instead of --resume to train anew"
            )


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Replace the folder's checkpoint; raises `OSError` when the disk refuses."""
    notes = {"identity": checkpoint.identity, "facts": checkpoint.facts, "format": FORMAT}
    write_sealed(folder / CHECKPOINT, checkpoint.tensors, notes)


def load_checkpoint(folder: Path) -> Checkpoint | None:
    """The folder's checkpoint, none where it has none; raises `CamoeError` for a damaged one."""
    path = folder / CHECKPOINT
    if not path.exists():
        return None
    try:
        tensors, notes = read_sealed(path)
    except DamagedError as error:
        raise CamoeError(f"{error}; use --overwrite instead of --resume to train anew") from None
    if notes.get("format") != FORMAT:
        raise CamoeError(
            f"{path} was written by another version of camoe; use --overwrite instead of --resume to train anew"
        )
    return Checkpoint(notes["identity"], notes["facts"], tensors)


def _shown(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
