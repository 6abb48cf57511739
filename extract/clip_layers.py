"""CLIP's first text layers and its positions, put beside a store: what a temporal head of the field starts from."""

from __future__ import annotations

from pathlib import Path

from ..pipeline.clip_layers import write_layers
from ..pipeline.errors import CamoeError
from ..pipeline.sealed import Tensors
from .clip_encoder import ClipEncoder
from .encoder import Encoder


def read_clip_layers(encoder: Encoder, count: int) -> Tensors:
    """`resblocks.N.…` of the text tower's first `count` layers and `positional_embedding`, float32; empty for 0.

    The weights are read anew in full precision, as the encoder may hold them in half. Raises `CamoeError` for a tower
    of fewer layers, or another model than OpenAI's.
    """
    if not count:
        return {}
    if not isinstance(encoder, ClipEncoder):
        raise CamoeError(
            f"--clip-layers {count}: {encoder.weights.name} is none of OpenAI's models, whose layers these heads start "
            "from; leave it out, and they start from random ones"
        )
    model = ClipEncoder.load(str(encoder.weights.path), "cpu", "fp32").model
    blocks = model.transformer.resblocks
    if count > len(blocks):
        raise CamoeError(f"--clip-layers {count}: the text tower of {encoder.weights.name} has {len(blocks)} layers")
    tensors = {f"resblocks.{name}": value.float() for name, value in blocks[:count].state_dict().items()}
    return tensors | {"positional_embedding": model.positional_embedding.float()}


def save_clip_layers(store: Path, layers: Tensors, encoder: Encoder) -> None:
    """Put them beside the store, where there are any; raises `OSError` where the disk refuses."""
    if layers:
        write_layers(store, layers, clip_sha256=encoder.weights.identity)
