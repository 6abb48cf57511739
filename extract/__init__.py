"""Stage 1: videos and captions -> feature store, with a frozen CLIP.

`extract(ExtractConfig(…))` is `camoe-extract`; `load_encoder` gives what encodes frames and texts as it does, and
`register_encoder` adds a family of one's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..pipeline.lazy import lazy_exports

if TYPE_CHECKING:
    from .clip_encoder import ClipEncoder
    from .clip_weights import Weights
    from .config import ExtractConfig
    from .encoder import Encoder
    from .encoders import load_encoder, register_encoder
    from .run import Extraction, extract
    from .words import Tagger

__all__ = [
    "ClipEncoder",
    "Encoder",
    "ExtractConfig",
    "Extraction",
    "Tagger",
    "Weights",
    "extract",
    "load_encoder",
    "register_encoder",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "ClipEncoder": "clip_encoder",
        "Encoder": "encoder",
        "ExtractConfig": "config",
        "Extraction": "run",
        "Tagger": "words",
        "Weights": "clip_weights",
        "extract": "run",
        "load_encoder": "encoders",
        "register_encoder": "encoders",
    },
)
