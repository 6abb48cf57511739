"""The model as training begins: drawn by seed, and where it can be from CLIP's text layers."""

from __future__ import annotations

from collections.abc import Sequence

from ..pipeline.clip_layers import find_layers
from ..pipeline.sealed import Tensors
from .model import FeatureShape, Scorer, build_model
from .names import MODELS
from .recipe import Recipe


def start_layers(model: str, stores: Sequence[str], clip_sha256: str) -> Tensors | None:
    """CLIP's text layers beside the store, for a model that starts from them; none where there are none.

    Raises `CamoeError` for a damaged file, or one of another CLIP than the store's.
    """
    return find_layers(stores, clip_sha256=clip_sha256) if MODELS[model].starts_from_clip else None


def begin_model(recipe: Recipe, shape: FeatureShape, layers: Tensors | None) -> Scorer:
    """The model on the CPU; raises `CamoeError` where the layers do not fit it."""
    model = build_model(recipe, shape)
    if layers is not None:
        model.start_from_clip(layers)
    return model


def start_name(model: str, layers: Tensors | None) -> str | None:
    """`clip` or `random` for a model that can start from CLIP's layers, none for another."""
    if not MODELS[model].starts_from_clip:
        return None
    return "random" if layers is None else "clip"
