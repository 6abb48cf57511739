"""Tensor files whose content is checked when they are read: a digest over everything lies in the file's metadata."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from .atomic import write_atomic
from .errors import CamoeError
from .regular import open_regular

Tensors = dict[str, torch.Tensor]


class DamagedError(CamoeError):
    """A file that cannot be read as what it should be; the message says why, whoever reads it what to do."""


def write_sealed(path: Path, tensors: Mapping[str, torch.Tensor], notes: Mapping[str, Any]) -> None:
    """Publish tensors, and JSON values by name; raises `OSError` where the disk refuses."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    told = {name: json.dumps(value) for name, value in notes.items()}
    write_atomic(path, save(plain, told | {"sha256": _digest(plain, told)}))


def read_sealed(path: Path) -> tuple[Tensors, dict[str, Any]]:
    """The tensors, on the CPU, and the JSON values; raises `DamagedError` where either is not as it was written."""
    try:
        open_regular(path).close()
        with safe_open(path, framework="pt") as file:
            told = dict(file.metadata() or {})
            tensors: Tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        expected = told.pop("sha256", None)
        if expected is None:
            raise DamagedError(f"{path} has no checksum: an older version wrote it, or it is damaged")
        if expected != _digest(tensors, told):
            raise DamagedError(f"{path} is damaged (its content does not match its checksum)")
        return tensors, {name: json.loads(value) for name, value in told.items()}
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise DamagedError(f"{path} is damaged ({' '.join(str(error).split())})") from None


def is_sealed(path: Path) -> bool:
    """Whether a file begins as one of tensors does; raises `OSError` where it cannot be read."""
    with open_regular(path) as file:
        return file.read(9)[8:] == b"{"


def file_bytes(tensors: Mapping[str, torch.Tensor]) -> bytes:
    """A safetensors file's content, for whoever writes and hashes it himself."""
    return save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})


def _digest(tensors: Mapping[str, torch.Tensor], notes: Mapping[str, str]) -> str:
    whole = hashlib.sha256(json.dumps(dict(sorted(notes.items()))).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        whole.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        whole.update(tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return whole.hexdigest()
