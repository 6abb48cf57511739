"""Numbers of too few queries: they look as certain as any, and say nothing."""

from __future__ import annotations

FEWEST_QUERIES = 50
"""Below this many videos a percentage moves by more than two points with each of them."""


def too_few(videos: int, what: str = "test videos") -> str | None:
    """The sentence that a table of so few videos carries, else None.

    Videos count, not captions: those of one video are found or missed together. A table that carries it has nothing
    in bold and names no winner.
    """
    if videos >= FEWEST_QUERIES:
        return None
    count = f"{videos} {what.removesuffix('s') if videos == 1 else what}"
    return f"TOO FEW: {count}; below {FEWEST_QUERIES} these numbers mean nothing, they only show that everything runs"
