"""Scores of all pairs of texts and videos, so many pairs at a time as memory is to hold."""

from __future__ import annotations

from collections.abc import Callable

import torch

BLOCK = 1 << 24
"""Numbers that the pairs of a block may take at once (64 MB in float32)."""

ScorePairs = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, "torch.Tensor | None"], torch.Tensor]
"""`(m, …)` texts, `(n, …)` videos, their `(n, T)` mask and `(m, n, …)` what belongs to pairs, or none -> `(m, n)`."""


def in_blocks(
    score: ScorePairs,
    texts: torch.Tensor,
    videos: torch.Tensor,
    mask: torch.Tensor,
    of_pairs: torch.Tensor | None = None,
    *,
    numbers: int,
) -> torch.Tensor:
    """`score` of `M` texts and `N` videos, `(M, N)`; a pair takes about `numbers` numbers on the way."""
    pairs = max(1, BLOCK // max(1, numbers))
    columns = max(1, min(len(videos), pairs))
    rows = max(1, pairs // columns)

    def part(row: int, column: int) -> torch.Tensor:
        own, others = slice(row, row + rows), slice(column, column + columns)
        return score(texts[own], videos[others], mask[others], None if of_pairs is None else of_pairs[own, others])

    return torch.cat(
        [
            torch.cat([part(row, column) for column in range(0, len(videos), columns)], dim=1)
            for row in range(0, len(texts), rows)
        ]
    )
