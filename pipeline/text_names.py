"""The names that every part knows: the stream of whole captions, and the strategy that keeps a caption whole."""

from __future__ import annotations

FUSION = "fusion"
FULL = "full"
