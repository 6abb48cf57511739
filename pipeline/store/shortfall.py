"""What a data set publishes and this copy of it lacks, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..wording import counted


def describe_shortfall(shortfall: Mapping[str, Any]) -> list[str]:
    """`["2 of 3 test videos", "1 video not found (first: v0009)", "no raw-captions.pkl"]`; empty when complete."""
    found = shortfall.get("found", {})
    parts = [f"{found.get(what, 0)} of {size} {what}" for what, size in shortfall.get("expected", {}).items()]
    if shortfall.get("missing_videos"):
        first = "".join(f" (first: {name})" for name in shortfall.get("first_missing", ())[:1])
        parts.append(f"{counted(shortfall['missing_videos'], 'video')} not found{first}")
    return parts + [f"no {name}" for name in shortfall.get("missing_files", ())]
