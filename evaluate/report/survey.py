"""What a report needs of all scores of one direction, gathered block by block: no matrix of them is held."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ...pipeline.hubness import KOccurrence
from ...pipeline.reranking.base import Reranker, fit
from ...pipeline.scores import Scores

HUB_K = 10


@dataclass(frozen=True)
class Survey:
    """`margins (Q,)`: each query's best own item less the best other one, infinite where there is no other.

    `first`, `among_ten (G,)`: for how many queries an item is the best, and among the ten best, ties shared;
    `first_after` likewise after a re-ranking, where there is one.
    """

    margins: np.ndarray
    first: np.ndarray
    among_ten: np.ndarray
    first_after: np.ndarray | None


def survey(scores: Scores, own_of: torch.Tensor, item_of: torch.Tensor, reranker: Reranker | None = None) -> Survey:
    """One pass over `scores (Q, G)`, and before it those that the re-ranking, which is new, is fitted in.

    Query q and item g belong together where `own_of[q] == item_of[g]`; `own_of (Q,)`, `item_of (G,)`.
    """
    if reranker is not None:
        fit([reranker], queries=scores)
    margins = []
    first, among_ten, first_after = (KOccurrence(scores.gallery, k, scores.device) for k in (1, HUB_K, 1))
    for rows, block in scores.blocks():
        margins.append(own_margins(block, own_of[rows, None] == item_of))
        first.see(block)
        among_ten.see(block)
        if reranker is not None:
            first_after.see(reranker.change(block.double(), rows))
    return Survey(
        torch.cat(margins).cpu().numpy(),
        _numbers(first),
        _numbers(among_ten),
        None if reranker is None else _numbers(first_after),
    )


def own_margins(scores: torch.Tensor, is_own: torch.Tensor) -> torch.Tensor:
    """`(Q,)`: the best own item's score less the best other one's; infinite where there is no other.

    `is_own (Q, G)` marks each query's own items.
    """
    own = scores.masked_fill(~is_own, -torch.inf).amax(dim=1)
    return own - scores.masked_fill(is_own, -torch.inf).amax(dim=1)


def _numbers(found: KOccurrence) -> np.ndarray:
    counts: np.ndarray = found.occurrence.cpu().numpy()
    return counts
