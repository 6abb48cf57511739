"""CLIP's first text layers, kept beside a store for models that start from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path

import torch

from .errors import CamoeError
from .sealed import DamagedError, Tensors, read_sealed, write_sealed

NAME = "clip-layers.safetensors"


def layers_path(store: Path) -> Path:
    """`NAME` in a store that is a folder, `shards.clip-layers.safetensors` beside the file `shards.h5`."""
    return store.with_name(f"{store.stem}.{NAME}") if store.suffix == ".h5" else store / NAME


def write_layers(store: Path, tensors: Mapping[str, torch.Tensor], *, clip_sha256: str) -> Path:
    """Put `resblocks.N.…` and `positional_embedding` beside the store; returns where."""
    path = layers_path(store)
    write_sealed(path, tensors, {"clip_sha256": clip_sha256})
    return path


def find_layers(stores: Sequence[str | PathLike[str]], *, clip_sha256: str) -> Tensors | None:
    """The layers beside the first of the stores that has some, none where none has.

    Raises `CamoeError` for a damaged file, or one of another CLIP than the store's.
    """
    path = next((path for path in map(layers_path, map(Path, stores)) if path.is_file()), None)
    if path is None:
        return None
    remedy = "write it again with camoe-extract --clip-layers 4, or delete it"
    try:
        tensors, notes = read_sealed(path)
    except DamagedError as error:
        raise CamoeError(f"{error}; {remedy}") from None
    if notes.get("clip_sha256") != clip_sha256:
        raise CamoeError(
            f"{path} holds layers of another CLIP ({str(notes.get('clip_sha256'))[:12]}) than the store's features "
            f"({clip_sha256[:12]}); {remedy}"
        )
    return tensors
