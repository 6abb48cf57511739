"""What was scored: the queries and the gallery of a subset, and their similarity under every re-ranking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from ..pipeline.errors import CamoeError
from ..pipeline.ranking import text_to_video_ranks, video_to_text_ranks
from ..train.scoring import ModelScorer
from ..train.validation import score_matrix
from .names import QUERY_BANK, RERANKINGS, Reranking
from .rerank import QueryBank, rerank

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
            caption_ids=[features.caption_ids[row] for row in captions.tolist()],
            video_ids=[features.video_ids[row] for row in videos.tolist()],
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
class Scored:
    """`similarity (M, N)` float64 in logit units, and the re-rankings that can be had, by label.

    `bank` holds the query bank of each direction, training captions for `t2v` and training videos for `v2t`; it is
    empty where there is none, and `left_out` says why.
    """

    queries: Queries
    similarity: np.ndarray
    v2t: str
    rerankings: dict[str, Reranking]
    bank: dict[str, QueryBank] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    def reranked(self, label: str, direction: str, similarity: np.ndarray | None = None) -> np.ndarray:
        """`(M, N)` float64; a re-ranking has its own matrix for each direction.

        `similarity`, where given, is re-ranked instead: other queries, that is other rows for `t2v` and other columns
        for `v2t`, against the same gallery.
        """
        scores, asked = self.similarity if similarity is None else similarity, self.rerankings[label]
        if asked.name == QUERY_BANK:
            return self.bank["t2v"].apply(scores) if direction == "t2v" else self.bank["v2t"].apply(scores.T).T
        return rerank(scores, asked.name, direction, **asked.options)

    def settings(self, label: str) -> dict[str, Any]:
        """What a result under this re-ranking depends on besides the scores: its options, and the bank's size."""
        asked = self.rerankings[label]
        sizes = {"bank_captions": self.bank["t2v"].size, "bank_videos": self.bank["v2t"].size} if self.bank else {}
        return dict(asked.options) | (sizes if asked.name == QUERY_BANK else {})

    def ranks(self, matrices: Mapping[str, np.ndarray]) -> Ranks:
        """The ranks of the re-ranked matrices of both directions; pooled over a video's captions afterwards."""
        owner = self.queries.video_of_caption
        return Ranks(text_to_video_ranks(matrices["t2v"], owner), video_to_text_ranks(matrices["v2t"], owner, self.v2t))


def score_subset(
    scorer: ModelScorer,
    subset: str,
    rerankings: Sequence[Reranking],
    *,
    v2t: str = "c4c",
    bank_size: int = 20_000,
    bank_bytes: int = 2**31,
    seed: int = 0,
) -> Scored:
    """Score a subset, and the query bank where a re-ranking needs it.

    The bank is at most `bank_size` training captions, or videos, and its scores at most `bank_bytes`; drawn by `seed`.
    Raises `CamoeError` for a subset without captions, or scores that are not finite.
    """
    scale = scorer.model.logit_scale.exp().item()
    asked = {reranking.label: _complete(reranking, scale) for reranking in rerankings}
    wants_bank = next((reranking for reranking in asked.values() if reranking.name == QUERY_BANK), None)
    reason = _no_bank(scorer, subset) if wants_bank else None
    bank = {}
    if wants_bank and reason is None:
        sizes = {"size": bank_size, "size_bytes": bank_bytes, "seed": seed}
        bank = query_banks(scorer, subset, beta=wants_bank.options["beta"], k=wants_bank.options["k"], **sizes)
    kept = {label: one for label, one in asked.items() if one.name != QUERY_BANK or bank}
    queries = Queries.of(scorer, subset)
    similarity = scorer.score(texts=subset, videos=subset).similarity.astype(np.float64)
    left_out = {label: reason for label in asked if label not in kept and reason}
    return Scored(queries, similarity, v2t, kept, bank, left_out)


def query_banks(
    scorer: ModelScorer, subset: str, *, beta: float, k: int, size: int, size_bytes: int, seed: int
) -> dict[str, QueryBank]:
    """The bank of either direction: training captions against the subset's videos, training videos against captions."""
    features = scorer.features
    captions, videos = features.captions_of(subset), features.videos_of(subset)

    def drawn(rows: torch.Tensor, against: int) -> torch.Tensor:
        most = max(1, min(size, size_bytes // (8 * against)))
        if len(rows) <= most:
            return rows
        chosen = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))[:most].sort().values
        return rows[chosen.to(rows.device)]

    texts = drawn(features.captions_of("train"), len(videos))
    gallery = drawn(features.videos_of("train"), len(captions))
    scores = {
        "t2v": score_matrix(scorer.model, features, texts, videos),
        "v2t": score_matrix(scorer.model, features, captions, gallery).T,
    }
    return {direction: QueryBank.of(scores[direction].cpu(), beta, k) for direction in scores}


def _complete(asked: Reranking, logit_scale: float) -> Reranking:
    """Only the options that the re-ranking reads, and QB-Norm's beta where none is given."""
    options = {name: asked.options[name] for name in RERANKINGS[asked.name].options if name in asked.options}
    if asked.name == QUERY_BANK:
        options = {"beta": COSINE_BETA / logit_scale, "k": 1} | {
            name: value for name, value in options.items() if value is not None
        }
    return Reranking(asked.name, options, asked.label)


def _no_bank(scorer: ModelScorer, subset: str) -> str | None:
    if subset == "train":
        return "its bank would be the queries themselves"
    if not len(scorer.features.captions_of("train")):
        return f"protocol {scorer.protocol} has no train captions with features for its bank"
    return None
