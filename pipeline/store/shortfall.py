"""What a data set publishes and this copy of it lacks, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


_FIRST_MISSING = 5


def more_lacking(before: dict, had: Mapping[str, int], has: Mapping[str, int], lost: Sequence[str]) -> dict:
    """The shortfall `before` where videos are `lost`: sizes are published ones or, where all were there, what it `had`.

    Sizes are `{"train videos": …, "train captions": …, …}`.
    """
    fewer = [what for what in had if has.get(what, 0) < had[what]]
    return {
        "expected": {what: had[what] for what in fewer} | before.get("expected", {}),
        "found": before.get("found", {}) | {what: has.get(what, 0) for what in fewer},
        "missing_videos": before.get("missing_videos", 0) + len(lost),
        "first_missing": [*before.get("first_missing", ()), *lost][:_FIRST_MISSING],
        "missing_files": list(before.get("missing_files", ())),
    }
