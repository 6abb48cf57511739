"""Ranks under re-rankings, in blocks: whatever the gallery's size, no matrix of scores is held.

A re-ranking makes its passes over the scores first (`base.fit`), then one pass ranks every query under all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from ..hubness import KOccurrence
from ..ranking import Owner, Queries, TextQueries, VideoQueries, owner_index
from ..scores import BLOCK_BYTES, Scores
from .base import Reranker, fit
from .softmax import Unchanged
from .table import turned

HUB_K = 10


@dataclass(frozen=True)
class Banks:
    """What re-rankings of one direction may be fitted on: training queries against the gallery, `(B, N)`, and training
    items of the gallery's kind against it."""

    queries: Scores | None = None
    gallery: Scores | None = None


@dataclass(frozen=True)
class Found:
    """`ranks` int64, of texts `(M,)` or of captioned videos, and `hubness`, the skewness of the 10-occurrence."""

    ranks: torch.Tensor
    hubness: float | None = None


def reranked_ranks(
    scores: Scores,
    rerankers: Mapping[str, Reranker],
    video_of_caption: Owner | None = None,
    direction: str = "t2v",
    *,
    v2t: str = "c4c",
    banks: Banks | None = None,
    hubness: bool = False,
    block_bytes: int = BLOCK_BYTES,
) -> dict[str, Found]:
    """The ranks of one direction under each of some re-rankings, which are fitted here.

    `scores` are of texts against videos, whatever the direction; `rerankers` are new ones, by label, and `banks`
    theirs, with the direction's queries first. A block of products takes `block_bytes`, the rest of the memory is a few
    numbers an item and a query.

    Raises ArrayError as `text_to_video_ranks` and `video_to_text_ranks`, and for scores or options that a re-ranking
    cannot work with.
    """
    owner = owner_index(video_of_caption, *scores.shape, scores.device)
    asked, banks = turned(scores, direction), banks or Banks()
    fit(rerankers.values(), queries=asked, bank=banks.queries, gallery_bank=banks.gallery, block_bytes=block_bytes)

    def queries() -> Queries:
        return TextQueries(owner) if direction == "t2v" else VideoQueries(owner, scores.gallery, v2t)

    ranked = {label: queries() for label in rerankers}
    uneven = {label: KOccurrence(asked.gallery, HUB_K, scores.device) for label in rerankers if hubness}
    for rows, block in asked.blocks(block_bytes):
        exact = block.double() if _any_changes(rerankers) else block
        for label, reranker in rerankers.items():
            changed = block if isinstance(reranker, Unchanged) else reranker.change(exact, rows)
            ranked[label].see(rows, changed)
            if hubness:
                uneven[label].see(changed)
    return {label: Found(one.ranks, uneven[label].skewness if hubness else None) for label, one in ranked.items()}


def _any_changes(rerankers: Mapping[str, Reranker]) -> bool:
    return not all(isinstance(reranker, Unchanged) for reranker in rerankers.values())
