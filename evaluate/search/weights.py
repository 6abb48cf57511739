"""The share that each stream has in a score: the model's own, or what a user asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ...pipeline.errors import CamoeError

Weights = Mapping[str, float]
"""Streams -> their shares; the sum is made 1, and a stream that is not named has none."""


def shares(weights: Weights, streams: Sequence[str]) -> np.ndarray:
    """Weights as `(S,)` float32 shares with sum 1; raises `CamoeError` for weights that are none."""
    if unknown := [name for name in weights if name not in streams]:
        raise CamoeError(f"there is no stream {unknown[0]!r}; the streams are {', '.join(streams)}")
    share = np.array([weights.get(name, 0.0) for name in streams], np.float32)
    if not (np.isfinite(share).all() and share.min() >= 0 and share.sum() > 0):
        raise CamoeError("weights of streams must be numbers from 0, not all 0")
    return share / share.sum()


def mixed(by_stream: np.ndarray, share: np.ndarray) -> np.ndarray:
    """`Σ_s share[s] · by_stream[s]`: `(S, …) -> (…)`; a stream without a share may hold anything."""
    used = np.flatnonzero(share)
    return np.tensordot(share[used], by_stream[used], axes=1)
