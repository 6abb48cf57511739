"""Checkpoints: all that a run in the making needs to go on bit for bit, in one safetensors file.

Tensors are the model, the optimiser's moments, the states of the generators and the best model so far; the file's
metadata holds the rest as JSON. A checkpoint is published whole or not at all.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ..pipeline.atomic import atomic_path
from ..pipeline.errors import CamoeError
from .config import TrainConfig

CHECKPOINT = "checkpoint.safetensors"
MAY_CHANGE = ("features", "out", "overwrite", "checkpoint_seconds", "tensorboard")
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


def identity_of(config: TrainConfig, store_hash: str, device: str) -> dict[str, Any]:
    """What a run that goes on must share with the one that began."""
    values = {name: value for name, value in asdict(config).items() if name not in MAY_CHANGE}
    same: dict[str, Any] = json.loads(json.dumps(values | {"device": device, "store": store_hash}))
    return same


def refuse_other(where: Path, begun: dict[str, Any], asked: dict[str, Any]) -> None:
    """Raise `CamoeError`, naming both values, where the run at `where` is another than the one asked for."""
    for name in asked:
        if begun.get(name) != asked[name]:
            what = "a store with content hash" if name == "store" else name
            raise CamoeError(
                f"{where} was begun with {what} {_shown(begun.get(name))}, not {_shown(asked[name])}; "
                "resume it with what it was begun with, or use --overwrite instead of --resume to train anew"
            )


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Replace the folder's checkpoint; raises `OSError` when the disk refuses."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.tensors.items()}
    metadata = {"identity": json.dumps(checkpoint.identity), "facts": json.dumps(checkpoint.facts)}
    with atomic_path(folder / CHECKPOINT) as temporary:
        save_file(tensors, temporary, metadata)


def load_checkpoint(folder: Path) -> Checkpoint | None:
    """The folder's checkpoint, none where it has none; raises `CamoeError` for a damaged one."""
    path = folder / CHECKPOINT
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            names = file.keys()
            tensors = {name: file.get_tensor(name) for name in names}
        return Checkpoint(json.loads(metadata["identity"]), json.loads(metadata["facts"]), tensors)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise CamoeError(
            f"{path} is damaged ({' '.join(str(error).split())}); use --overwrite instead of --resume to train anew"
        ) from None


def _shown(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
