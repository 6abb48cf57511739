"""The queries and the gallery of one run on one subset, and their similarity under every re-ranking."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from ..pipeline.errors import CamoeError
from ..pipeline.ranking import ranks_chunked, text_to_video_ranks, video_to_text_ranks
from ..train.model import Scorer
from ..train.scoring import ModelScorer
from ..train.validation import CHUNK, score_matrix
from .config import EvaluateConfig
from .rerank import RERANKERS, QueryBank, rerank

COSINE_BETA = 20.0
"""QB-Norm's beta, for scores that are cosines (arXiv 2112.12777)."""
BANK = "querybank"


@dataclass(frozen=True)
class Ranks:
    """Ranks from 1: `t2v (M,)` of each caption's video, `v2t (N,)` of each video's caption; ties rank last."""

    t2v: np.ndarray
    v2t: np.ndarray

    def __getitem__(self, direction: str) -> np.ndarray:
        return {"t2v": self.t2v, "v2t": self.v2t}[direction]


@dataclass(frozen=True)
class Pool:
    """`M` captions and the `N` videos that they belong to, `similarity (M, N)` float64 in logit units.

    `video_of_caption (M,)` is each caption's column. `bank` holds the query bank of each direction, training captions
    for `t2v` and training videos for `v2t`; it is empty where there is none, and `left_out` says why. `options` are
    those of each re-ranking that can be had.
    """

    similarity: np.ndarray
    video_of_caption: np.ndarray
    v2t: str
    options: dict[str, dict[str, Any]]
    bank: dict[str, QueryBank] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    def reranked(self, name: str, direction: str, similarity: np.ndarray | None = None) -> np.ndarray:
        """`(M, N)` float64; a re-ranking has its own matrix for each direction.

        `similarity`, where given, is re-ranked instead: other queries, that is other rows for `t2v` and other columns
        for `v2t`, against the same gallery.
        """
        scores = self.similarity if similarity is None else similarity
        if name == BANK:
            return self.bank["t2v"].apply(scores) if direction == "t2v" else self.bank["v2t"].apply(scores.T).T
        return rerank(scores, name, direction, **self.options[name])

    def settings(self, name: str) -> dict[str, Any]:
        """What a result under this re-ranking depends on besides the scores: its options, and the bank's size."""
        if name != BANK:
            return self.options[name]
        return self.options[name] | {"bank_captions": self.bank["t2v"].size, "bank_videos": self.bank["v2t"].size}

    def ranks(self, reranked: dict[str, np.ndarray]) -> Ranks:
        """The ranks of the matrices `reranked` of both directions; pooled over a video's captions afterwards."""
        return Ranks(
            text_to_video_ranks(reranked["t2v"], self.video_of_caption),
            video_to_text_ranks(reranked["v2t"], self.video_of_caption, self.v2t),
        )


def make_pool(scorer: ModelScorer, config: EvaluateConfig) -> Pool:
    """Score the subset, and the query bank where a re-ranking needs it.

    Raises `CamoeError` for a subset without captions, or scores that are not finite.
    """
    scores = scorer.score(texts=config.subset, videos=config.subset)
    asked = BANK in config.rerankings
    left_out = {BANK: reason} if asked and (reason := _no_bank(scorer, config.subset)) else {}
    settings = config.rerank_settings
    if settings["beta"] is None:
        settings["beta"] = COSINE_BETA / scorer.model.logit_scale.exp().item()
    return Pool(
        similarity=scores.similarity.astype(np.float64),
        video_of_caption=scores.video_of_caption,
        v2t=config.v2t,
        options={
            name: {option: settings[option] for option in RERANKERS[name].options if option in settings}
            for name in config.rerankings
            if name not in left_out
        },
        bank=_bank(scorer, config, settings["beta"]) if asked and not left_out else {},
        left_out=left_out,
    )


def matrix_bytes(scorer: ModelScorer, subset: str) -> int:
    """What the subset's similarity takes in float64."""
    return 8 * len(scorer.features.captions_of(subset)) * len(scorer.features.videos_of(subset))


def ranks_in_blocks(scorer: ModelScorer, config: EvaluateConfig) -> tuple[Ranks, np.ndarray]:
    """Raw ranks without the matrix, and `video_of_caption`; for galleries that would not fit into memory.

    Raises `CamoeError` for a model whose scores are no product of embeddings.
    """
    model, features = scorer.model, scorer.features
    if type(model).compare is not Scorer.compare:
        raise CamoeError("this model's scores depend on text and video together; raise --max-matrix-gb to hold them")
    captions, videos = features.captions_of(config.subset), features.videos_of(config.subset)
    with torch.no_grad():
        scale = (model.logit_scale.exp() * model.weights)[:, None, None]
        texts = [scale * model.encode_texts(features.texts_of(rows)) for rows in captions.split(CHUNK)]
        gallery = [model.encode_videos(features.frames[rows], features.mask[rows]) for rows in videos.split(CHUNK)]
        owner = torch.searchsorted(videos, features.video_of_caption[captions])
        t2v, v2t = ranks_chunked(
            torch.cat(texts, dim=1).transpose(0, 1).flatten(1),
            torch.cat(gallery, dim=1).transpose(0, 1).flatten(1),
            owner,
            config.v2t,
            block_bytes=min(2**28, config.max_matrix_bytes),
        )
    return Ranks(t2v.cpu().numpy(), v2t.cpu().numpy()), owner.cpu().numpy()


def _no_bank(scorer: ModelScorer, subset: str) -> str | None:
    if subset == "train":
        return "its bank would be the queries themselves"
    if not len(scorer.features.captions_of("train")):
        return f"protocol {scorer.protocol} has no train captions with features for its bank"
    return None


def _bank(scorer: ModelScorer, config: EvaluateConfig, beta: float) -> dict[str, QueryBank]:
    features = scorer.features
    captions, videos = features.captions_of(config.subset), features.videos_of(config.subset)

    def drawn(rows: torch.Tensor, against: int) -> torch.Tensor:
        size = max(1, min(config.bank_size, config.max_matrix_bytes // (8 * against)))
        if len(rows) <= size:
            return rows
        chosen = torch.randperm(len(rows), generator=torch.Generator().manual_seed(config.seed))[:size].sort().values
        return rows[chosen.to(rows.device)]

    texts = drawn(features.captions_of("train"), len(videos))
    gallery = drawn(features.videos_of("train"), len(captions))
    scores = {
        "t2v": score_matrix(scorer.model, features, texts, videos),
        "v2t": score_matrix(scorer.model, features, captions, gallery).T,
    }
    return {direction: QueryBank.of(scores[direction].cpu(), beta, config.querybank_k) for direction in scores}
