"""Stage 2: feature store -> run folder; never touches video, CLIP or ffmpeg.

What is public can be imported from here; torch is loaded when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..pipeline.lazy import lazy_exports

if TYPE_CHECKING:
    from .config import TrainConfig
    from .losses import cross_entropy_loss, dual_softmax_loss
    from .model import build_model
    from .names import ModelFacts, register_model
    from .recipe import Architecture, Recipe
    from .run import fit
    from .run_folder import Run, load_run
    from .scorer import FeatureShape, Scorer, text_side
    from .scoring import RunScorer, Scores

__all__ = [
    "Architecture",
    "FeatureShape",
    "ModelFacts",
    "Recipe",
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
    "register_model",
    "text_side",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "TrainConfig": "config",
        "cross_entropy_loss": "losses",
        "dual_softmax_loss": "losses",
        "build_model": "model",
        "ModelFacts": "names",
        "register_model": "names",
        "Architecture": "recipe",
        "Recipe": "recipe",
        "fit": "run",
        "Run": "run_folder",
        "load_run": "run_folder",
        "FeatureShape": "scorer",
        "Scorer": "scorer",
        "text_side": "scorer",
        "RunScorer": "scoring",
        "Scores": "scoring",
    },
)
