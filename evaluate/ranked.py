"""From scores to ranks: every query of a subset under every asked re-ranking."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..pipeline.reranking.ranks import reranked_ranks
from ..pipeline.scores import BLOCK_BYTES, MatrixScores, Scores
from ..train.scoring import ModelScorer
from .metrics import takes_lower_median
from .names import DIRECTIONS, NONE, Reranking
from .result import Metrics, MetricsPair, PerDirection
from .score_source import model_scores
from .scored import Fitting, Queries, Ranks, Scored, prepare

MATRIX_BYTES = 2**31


@dataclass(frozen=True)
class Method:
    """How scores become numbers: the re-rankings, the convention of video-to-text, how sure one wants to be.

    `resamples` is of the bootstrap, 0 for none. `max_matrix_bytes` bounds the matrix of scores: above it they are
    computed in blocks, more than once. `bank_size` bounds either bank; `seed` is of all that is drawn.
    `hubness` costs a partial sort.
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
    """Rank a subset under every asked re-ranking; in blocks where its matrix would be larger than the method's bound.

    Raises `CamoeError` for a subset without captions, or scores that are not finite.
    """
    queries, features = Queries.of(scorer, subset), scorer.features
    bound = method.max_matrix_bytes
    fitting = prepare(scorer, subset, method.rerankings, bank_size=method.bank_size, most_bytes=bound, seed=method.seed)
    captions, videos = features.captions_of(subset), features.videos_of(subset)
    scores = model_scores(scorer.model, features, captions, videos, most_bytes=bound)
    if not isinstance(scores, MatrixScores):
        return _rank(scores, fitting, queries, method.v2t, hubness=method.hubness, block_bytes=bound)
    similarity = scores.scores.cpu().numpy().astype(np.float64)
    scored = Scored(
        fitting.rerankings, fitting.bank, fitting.left_out, queries=queries, similarity=similarity, v2t=method.v2t
    )
    return rank_scored(scored, hubness=method.hubness)


def rank_scored(scored: Scored, *, hubness: bool = True) -> Ranked:
    """The ranks of scores that are held as a matrix."""
    scores = MatrixScores.of(scored.similarity)
    return replace(_rank(scores, scored, scored.queries, scored.v2t, hubness=hubness), scored=scored)


def _rank(
    scores: Scores, fitting: Fitting, queries: Queries, v2t: str, *, hubness: bool, block_bytes: int = BLOCK_BYTES
) -> Ranked:
    """Both directions under every re-ranking, whether the scores are held or come in blocks."""
    found = {
        direction: reranked_ranks(
            scores,
            fitting.rerankers(),
            queries.video_of_caption,
            direction,
            v2t=v2t,
            banks=fitting.bank.get(direction),
            hubness=hubness,
            block_bytes=min(BLOCK_BYTES, block_bytes),
        )
        for direction in DIRECTIONS
    }
    ranks, uneven = {}, {}
    for label in fitting.rerankings:
        t2v, back = (found[direction][label] for direction in DIRECTIONS)
        ranks[label] = Ranks(t2v.ranks.cpu().numpy(), back.ranks.cpu().numpy())
        if t2v.hubness is not None and back.hubness is not None:
            uneven[label] = PerDirection(t2v.hubness, back.hubness)
    settings = {label: fitting.settings(label) for label in fitting.rerankings}
    return Ranked(queries, v2t, ranks, settings, uneven, fitting.left_out)
