"""Stage 1: videos and captions -> feature store, with a frozen CLIP.

`extract(ExtractConfig(…))` is `camoe-extract`; `ClipEncoder` encodes frames and texts as it does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..pipeline.lazy import lazy_exports

if TYPE_CHECKING:
    from .clip_encoder import ClipEncoder
    from .config import ExtractConfig
    from .run import Extraction, extract
    from .words import Tagger

__all__ = ["ClipEncoder", "ExtractConfig", "Extraction", "Tagger", "extract"]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "ClipEncoder": "clip_encoder",
        "ExtractConfig": "config",
        "Extraction": "run",
        "Tagger": "words",
        "extract": "run",
    },
)
