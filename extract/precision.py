"""How the encoder runs on which machine: a table made by measurement (`benchmarks/precision.py`), so that the same
machine always makes the same numbers; nothing is timed while a run goes on. Known without loading torch."""

from __future__ import annotations

import platform
from dataclasses import dataclass

PRECISIONS = ("auto", "fp32", "bf16", "fp16")

LEAST_COSINE = 0.999
"""What a precision must keep between each embedding and that in fp32 to be in the table."""

SMALL_PARAMETERS = 50_000_000
"""Models below it, such as the built-in one, gain nothing from half precision; CLIP's smallest has 102 million."""

BATCH_BEFORE = 64
"""Of stores that do not say with which batch size they were begun."""


@dataclass(frozen=True)
class Way:
    """The precision of the encoder's products, and how many frames are computed at once."""

    precision: str
    batch_size: int


SMALL = Way("fp32", 64)
BEST = {
    "cuda": Way("fp16", 64),
    "amx": Way("bf16", 16),
    "avx512_bf16": Way("bf16", 16),
    "avx2": Way("fp32", 16),
    "arm": Way("fp32", 16),
}
"""By what a machine computes with. A CPU gains nothing beyond 16 frames, and the last batch of a run is computed whole.
`avx2` is any x86 without units for bfloat16, which is emulated there; on `arm` nothing has been measured yet, and fp32
is what is right anywhere."""


def best_way(units: str, parameters: int) -> Way:
    """The table's row for a model of so many parameters."""
    return SMALL if parameters < SMALL_PARAMETERS else BEST[units]


def units_of(device: str) -> str:
    """The table's name for `cuda`, or for this machine's processor."""
    return "cuda" if device == "cuda" else processor_units()


def processor_units() -> str:
    """Which instructions for matrix products this processor has, as far as PyTorch uses them."""
    import torch

    if platform.machine().lower() in ("arm64", "aarch64"):
        return "arm"
    for units, asked in (("amx", "_is_amx_tile_supported"), ("avx512_bf16", "_is_avx512_bf16_supported")):
        if getattr(torch.cpu, asked, lambda: False)():
            return units
    return "avx2"
