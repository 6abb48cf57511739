"""Scores of all pairs of texts and videos, so many pairs at a time as memory is to hold."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch

BLOCK = 1 << 24
"""Numbers that the pairs of a block may take at once (64 MB in float32)."""
PIECE, TEXTS = 1 << 20, 16
"""A block's scores alone are computed by pieces of about so many numbers, and of at least so many texts where it has
them: larger arrays are new memory from the system every time, which takes as long as the products. Of fewer texts than
five, products are rounded differently."""

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
    whole: bool = False,
) -> torch.Tensor:
    """`score` of `M` texts and `N` videos, `(M, N)`; a pair takes about `numbers` numbers on the way.

    `whole` blocks are asked for where `score` does more with one than to score it.
    """
    in_pieces = not whole and not torch.is_grad_enabled() and texts.device.type == "cpu"
    pairs = max(1, BLOCK // max(1, numbers))
    columns = max(1, min(len(videos), pairs))
    rows = max(1, pairs // columns)

    def part(row: int, column: int) -> torch.Tensor:
        own, others = slice(row, row + rows), slice(column, column + columns)
        block = texts[own], videos[others], mask[others], None if of_pairs is None else of_pairs[own, others]
        return _by_pieces(score, *block, numbers=numbers) if in_pieces else score(*block)

    return torch.cat(
        [
            torch.cat([part(row, column) for column in range(0, len(videos), columns)], dim=1)
            for row in range(0, len(texts), rows)
        ]
    )


def _by_pieces(
    score: ScorePairs,
    texts: torch.Tensor,
    videos: torch.Tensor,
    mask: torch.Tensor,
    of_pairs: torch.Tensor | None,
    *,
    numbers: int,
) -> torch.Tensor:
    """A block, the same to the bit, in less memory."""
    scores = texts.new_empty(len(texts), len(videos))
    rows = min(len(texts), TEXTS)
    for own in _cuts(len(texts), rows):
        for others in _cuts(len(videos), PIECE // (rows * max(1, numbers))):
            of_both = None if of_pairs is None else of_pairs[own, others]
            scores[own, others] = score(texts[own], videos[others], mask[others], of_both)
    return scores


def _cuts(count: int, least: int) -> list[slice]:
    """`count` in equal parts of at least so many."""
    parts = max(1, count // max(1, least))
    return [slice(start, end) for start, end in pairwise([count * part // parts for part in range(parts + 1)])]
