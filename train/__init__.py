"""Stage 2: feature store -> run folder; never touches video, CLIP or ffmpeg.

What is public can be imported from here; torch is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .config import TrainConfig
    from .losses import cross_entropy_loss, dual_softmax_loss
    from .model import build_model
    from .run import fit
    from .run_folder import Run, load_run
    from .scorer import FeatureShape, Scorer
    from .scoring import RunScorer, Scores

__all__ = [
    "FeatureShape",
    "Run",
    "RunScorer",
    "Scorer",
    "Scores",
    "TrainConfig",
    "build_model",
    "cross_entropy_loss",
    "dual_softmax_loss",
    "fit",
    "load_run",
]

_HOMES = {
    "TrainConfig": "config",
    "cross_entropy_loss": "losses",
    "dual_softmax_loss": "losses",
    "build_model": "model",
    "fit": "run",
    "Run": "run_folder",
    "load_run": "run_folder",
    "FeatureShape": "scorer",
    "Scorer": "scorer",
    "RunScorer": "scoring",
    "Scores": "scoring",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
