"""From scores to ranks: every query of a subset under every asked re-ranking."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from ..pipeline.errors import CamoeError
from ..pipeline.ranking import ranks_chunked
from ..train.model import Scorer
from ..train.scoring import ModelScorer
from ..train.validation import CHUNK
from .metrics import takes_lower_median
from .names import NONE, Reranking
from .result import Metrics, MetricsPair, PerDirection
from .scored import Queries, Ranks, Scored, score_subset
from .significance import k_occurrence_skewness

MATRIX_BYTES = 2**31


@dataclass(frozen=True)
class Method:
    """How scores become numbers: the re-rankings, the convention of video-to-text, how sure one wants to be.

    `resamples` is of the bootstrap, 0 for none. `max_matrix_bytes` bounds the matrix of scores: above it they are
    ranked in blocks. `bank_size` bounds the query bank; `seed` is of all that is drawn. `hubness` costs a partial sort.
    """

    rerankings: tuple[Reranking, ...] = (Reranking(NONE),)
    v2t: str = "c4c"
    bank_size: int = 20_000
    resamples: int = 0
    max_matrix_bytes: int = MATRIX_BYTES
    seed: int = 0
    hubness: bool = True


@dataclass(frozen=True)
class Ranked:
    """`ranks` by re-ranking, `none` first; `settings` and `hubness` (k-occurrence skewness) likewise, where known.

    `scored` is None where the scores were ranked in blocks.
    """

    queries: Queries
    v2t: str
    ranks: dict[str, Ranks]
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    hubness: dict[str, PerDirection] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    scored: Scored | None = None

    @property
    def lower_median(self) -> bool:
        """Whether text-to-video takes the lower of two middle ranks."""
        return takes_lower_median(self.queries.video_of_caption, self.v2t)

    def metrics(self, label: str) -> MetricsPair:
        """The numbers of both directions under one re-ranking."""
        ranks = self.ranks[label]
        return MetricsPair(Metrics.of(ranks.t2v, lower_median=self.lower_median), Metrics.of(ranks.v2t))


def rank_subset(scorer: ModelScorer, subset: str, method: Method) -> Ranked:
    """Rank a subset; in blocks, raw only, where its matrix would be larger than the method's bound.

    Raises `CamoeError` for a subset without captions, or scores that are not finite.
    """
    queries = Queries.of(scorer, subset)
    size = 8 * len(queries.caption_ids) * len(queries.video_ids)
    if size > method.max_matrix_bytes:
        reason = f"the matrix of scores would take {size / 2**30:.2g} GB; raise --max-matrix-gb to hold it"
        left_out = {asked.label: reason for asked in method.rerankings if asked.name != NONE}
        ranks = {NONE: rank_in_blocks(scorer, subset, queries, method.v2t, block_bytes=method.max_matrix_bytes)}
        return Ranked(queries, method.v2t, ranks, {NONE: {}}, left_out=left_out)
    scored = score_subset(
        scorer,
        subset,
        method.rerankings,
        v2t=method.v2t,
        bank_size=method.bank_size,
        bank_bytes=method.max_matrix_bytes,
        seed=method.seed,
    )
    return rank_scored(scored, hubness=method.hubness)


def rank_scored(scored: Scored, *, hubness: bool = True) -> Ranked:
    """The ranks of scores that are held as a matrix."""
    ranks, uneven = {}, {}
    for label in scored.rerankings:
        t2v, v2t = (scored.reranked(label, direction) for direction in ("t2v", "v2t"))
        ranks[label] = scored.ranks({"t2v": t2v, "v2t": v2t})
        if hubness:
            uneven[label] = PerDirection(k_occurrence_skewness(t2v), k_occurrence_skewness(v2t.T))
    settings = {label: scored.settings(label) for label in scored.rerankings}
    return Ranked(scored.queries, scored.v2t, ranks, settings, uneven, scored.left_out, scored)


def rank_in_blocks(scorer: ModelScorer, subset: str, queries: Queries, v2t: str, *, block_bytes: int) -> Ranks:
    """Raw ranks without the matrix, for galleries that would not fit into memory.

    Raises `CamoeError` for a model whose scores are no product of embeddings.
    """
    model, features = scorer.model, scorer.features
    if model.transductive or type(model).compare is not Scorer.compare:
        raise CamoeError("this model's scores depend on text and video together; raise --max-matrix-gb to hold them")
    captions, videos = features.captions_of(subset), features.videos_of(subset)
    with torch.no_grad():
        scale = (model.logit_scale.exp() * model.weights)[:, None, None]
        texts = [scale * model.encode_texts(features.texts_of(rows)) for rows in captions.split(CHUNK)]
        gallery = [model.encode_videos(features.frames[rows], features.mask[rows]) for rows in videos.split(CHUNK)]
        t2v, ranks_v2t = ranks_chunked(
            torch.cat(texts, dim=1).transpose(0, 1).flatten(1),
            torch.cat(gallery, dim=1).transpose(0, 1).flatten(1),
            queries.video_of_caption,
            v2t,
            block_bytes=min(2**28, block_bytes),
        )
    return Ranks(t2v.cpu().numpy(), ranks_v2t.cpu().numpy())
