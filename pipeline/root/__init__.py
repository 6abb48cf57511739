"""CAMoE: video-text retrieval in two stages, decoding once.

`camoe.extract` makes a feature store of videos and captions, `camoe.train` a run folder of a store, `camoe.evaluate`
numbers of a run; `camoe.pipeline` holds what they share. Importing any of them loads no torch; using them does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str

__all__ = ["__version__"]


def __getattr__(name: str) -> Any:
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import version

    return version("camoe")
