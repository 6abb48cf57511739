"""What is scored: the queries and the gallery of a subset, and what its re-rankings are fitted on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from ..pipeline.errors import CamoeError
from ..pipeline.ranking import text_to_video_ranks, video_to_text_ranks
from ..pipeline.reranking.base import ALL, Reranker, fit
from ..pipeline.reranking.kinds import A_BANK, BOTH_BANKS
from ..pipeline.reranking.ranks import Banks
from ..pipeline.reranking.table import make, turned
from ..pipeline.scores import MatrixScores
from ..pipeline.store.strings import take_texts
from ..train.encoder import is_product
from ..train.scoring import ModelScorer
from .names import RERANKINGS, Reranking
from .score_source import drawn, kin_scores, model_scores

COSINE_BETA = 20.0
"""QB-Norm's beta, for scores that are cosines (arXiv 2112.12777)."""


@dataclass(frozen=True)
class Queries:
    """`M` captions and the `N` videos that they belong to; `video_of_caption (M,)` is each caption's column."""

    caption_ids: list[str]
    video_ids: list[str]
    video_of_caption: np.ndarray

    @classmethod
    def of(cls, scorer: ModelScorer, subset: str) -> Queries:
        """Captions in the store's order, videos sorted by id; raises `CamoeError` for an empty subset."""
        features = scorer.features
        captions, videos = features.captions_of(subset), features.videos_of(subset)
        if not len(captions):
            raise CamoeError(
                f"protocol {scorer.protocol} has no {subset} captions with features; name another --subset"
            )
        column = torch.searchsorted(videos, features.video_of_caption[captions])
        return cls(
            caption_ids=list(take_texts(features.caption_ids, captions.cpu().numpy())),
            video_ids=list(take_texts(features.video_ids, videos.cpu().numpy())),
            video_of_caption=column.cpu().numpy(),
        )


@dataclass(frozen=True)
class Ranks:
    """Ranks from 1: `t2v (M,)` of each caption's video, `v2t (N,)` of each video's caption; ties rank last."""

    t2v: np.ndarray
    v2t: np.ndarray

    def __getitem__(self, direction: str) -> np.ndarray:
        return {"t2v": self.t2v, "v2t": self.v2t}[direction]


@dataclass(frozen=True)
class Fitting:
    """The re-rankings that can be had, by label, and what they are fitted on.

    `bank` holds what those with banks need, by direction; it is empty where none asks, and `left_out` says of every one
    that cannot be had why not.
    """

    rerankings: dict[str, Reranking]
    bank: Mapping[str, Banks] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    def settings(self, label: str) -> dict[str, Any]:
        """What a result under this re-ranking depends on besides the scores: its options, and the banks' sizes."""
        asked = self.rerankings[label]
        return dict(asked.options) | (self._sizes() if RERANKINGS[asked.name].needs in (A_BANK, BOTH_BANKS) else {})

    def _sizes(self) -> dict[str, int]:
        banks = {"bank_captions": self.bank["t2v"].queries, "bank_videos": self.bank["v2t"].queries}
        return {name: bank.queries for name, bank in banks.items() if bank is not None}

    def rerankers(self) -> dict[str, Reranker]:
        """New ones, by label, not fitted yet."""
        return {label: make(asked.name, asked.options) for label, asked in self.rerankings.items()}


@dataclass(frozen=True)
class Scored(Fitting):
    """`similarity (M, N)` float64 in logit units, held as a matrix, under every re-ranking that can be had."""

    queries: Queries = field(kw_only=True)
    similarity: np.ndarray = field(kw_only=True)
    v2t: str = field(kw_only=True)
    _fitted: dict[tuple[str, str], Reranker] = field(default_factory=dict, init=False, repr=False, compare=False)

    def reranked(self, label: str, direction: str, similarity: np.ndarray | None = None) -> np.ndarray:
        """`(M, N)` float64; a re-ranking has its own matrix for each direction.

        `similarity`, where given, is re-ranked instead: other queries, that is other rows for `t2v` and other columns
        for `v2t`, against the same gallery.
        """
        scores = turned(MatrixScores.of(self.similarity if similarity is None else similarity), direction)
        reranker = self._reranker(label, direction)
        if reranker.over_queries:
            fit([reranker], queries=scores)
        changed = reranker.change(scores.block(ALL), ALL)
        return (changed if direction == "t2v" else changed.T).numpy()

    def _reranker(self, label: str, direction: str) -> Reranker:
        """Fitted to its banks, once; one that is fitted to the queries is new each time."""
        if (label, direction) not in self._fitted:
            asked, bank = self.rerankings[label], self.bank.get(direction, Banks())
            reranker = make(asked.name, asked.options)
            if reranker.over_queries:
                return reranker
            fit([reranker], bank=bank.queries, gallery_bank=bank.gallery)
            self._fitted[label, direction] = reranker
        return self._fitted[label, direction]

    def ranks(self, matrices: Mapping[str, np.ndarray]) -> Ranks:
        """The ranks of the re-ranked matrices of both directions; pooled over a video's captions afterwards."""
        owner = self.queries.video_of_caption
        return Ranks(text_to_video_ranks(matrices["t2v"], owner), video_to_text_ranks(matrices["v2t"], owner, self.v2t))


def prepare(
    scorer: ModelScorer,
    subset: str,
    rerankings: Sequence[Reranking],
    *,
    bank_size: int = 20_000,
    most_bytes: int = 2**31,
    seed: int = 0,
) -> Fitting:
    """Which of the asked re-rankings can be had on a subset, with all their options, and their banks.

    A bank is at most `bank_size` training captions, or videos, drawn by `seed`; its scores are held where they take at
    most `most_bytes`.
    """
    scale = scorer.model.logit_scale.exp().item()
    kept, left_out = {}, {}
    for one in rerankings:
        reason = _missing(scorer, subset, RERANKINGS[one.name].needs)
        if reason is None:
            kept[one.label] = complete(one, scale)
        else:
            left_out[one.label] = reason
    needs = {RERANKINGS[one.name].needs for one in kept.values()} & {A_BANK, BOTH_BANKS}
    bank = query_banks(scorer, subset, needs, size=bank_size, most_bytes=most_bytes, seed=seed) if needs else {}
    return Fitting(kept, bank, left_out)


def query_banks(
    scorer: ModelScorer, subset: str, needs: set[str], *, size: int, most_bytes: int, seed: int
) -> dict[str, Banks]:
    """The banks of either direction: training captions against the subset's videos, training videos against captions;
    beside them, where a re-ranking needs both, training videos against videos, training captions against captions."""
    model, features = scorer.model, scorer.features
    captions, videos = features.captions_of(subset), features.videos_of(subset)
    texts, gallery = (drawn(rows("train"), size, seed) for rows in (features.captions_of, features.videos_of))
    both = BOTH_BANKS in needs
    return {
        "t2v": Banks(
            model_scores(model, features, texts, videos, most_bytes=most_bytes),
            kin_scores(model, features, "videos", gallery, videos) if both else None,
        ),
        "v2t": Banks(
            model_scores(model, features, captions, gallery, most_bytes=most_bytes).transposed,
            kin_scores(model, features, "texts", texts, captions) if both else None,
        ),
    }


def complete(asked: Reranking, logit_scale: float) -> Reranking:
    """Every option that the re-ranking reads and no other; QB-Norm's beta where none is given."""
    kind = RERANKINGS[asked.name]
    options: dict[str, Any] = {"beta": COSINE_BETA / logit_scale} if "beta" in kind.options else {}
    options |= kind.defaults
    given = {name: value for name, value in asked.options.items() if name in options and value is not None}
    return Reranking(asked.name, options | given, asked.label)


def _missing(scorer: ModelScorer, subset: str, needs: str) -> str | None:
    """Why a re-ranking with such needs cannot be had, or none."""
    if needs not in (A_BANK, BOTH_BANKS):
        return None
    if subset == "train":
        return "its bank would be the queries themselves"
    if not len(scorer.features.captions_of("train")):
        return f"protocol {scorer.protocol} has no train captions with features for its bank"
    if needs == BOTH_BANKS and not is_product(scorer.model):
        return "it compares videos with videos, texts with texts, which this model's scores do not"
    return None
