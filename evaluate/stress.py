"""The stress test: how re-ranked numbers depend on which other queries happen to be asked.

A method that sees one query at a time cannot change here; a transductive one can. Three questions, in R@1
(percent) with the gallery always whole:

- batches: the queries come in batches of 1, 10, 100, or all at once, in random order.
- repeated: one query is in the set 100 times (`repeated`), against once (`alone`); mean over some queries.
- two_captions: the set holds two captions of a video (`two`), against one (`one`); measured on the first ones,
  text-to-video.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from ..pipeline.ranking import V2T_CONVENTIONS, text_to_video_ranks
from .result import BatchRecalls, QueryCounts, RepeatedRecall, RepeatedRecalls, Stress, TwoCaptions
from .scored import Scored

BATCHES = (1, 10, 100)
REPEATS = 100
MOST_QUERIES, MOST_REPEATED = 500, 50

BatchRanks = Callable[[np.ndarray], np.ndarray]
"""Indices of queries (Q,), asked together, to their ranks (Q,)."""


def stress_test(scored: Scored, seed: int = 0) -> Stress:
    """R@1 under the three stresses, by re-ranking; at most `MOST_QUERIES` queries a direction, drawn by seed."""
    t2v, v2t = (np.random.default_rng(seed).permutation(total)[:MOST_QUERIES] for total in scored.similarity.shape)
    pairs = _two_captions(scored.queries.video_of_caption, v2t)
    batches, repeated, two = {}, {}, {}
    for name in scored.rerankings:
        texts, videos = _text_queries(scored, name), _video_queries(scored, name)
        batches[name] = BatchRecalls(_batches(texts, t2v), _batches(videos, v2t))
        repeated[name] = RepeatedRecalls(_repeated(texts, t2v), _repeated(videos, v2t))
        if pairs:
            first, both = pairs
            beside = texts(both)[: len(first)]
            two[name] = TwoCaptions(_recall_at_1(texts(first)), _recall_at_1(beside))
    return Stress(
        queries=QueryCounts(len(t2v), len(v2t)),
        repeated_queries=QueryCounts(min(MOST_REPEATED, len(t2v)), min(MOST_REPEATED, len(v2t))),
        batches=batches,
        repeated=repeated,
        two_captions=two if pairs else None,
    )


def _text_queries(scored: Scored, name: str) -> BatchRanks:
    def ranks(rows: np.ndarray) -> np.ndarray:
        scores = scored.reranked(name, "t2v", scored.similarity[rows])
        return text_to_video_ranks(scores, scored.queries.video_of_caption[rows])

    return ranks


def _video_queries(scored: Scored, name: str) -> BatchRanks:
    """Every video of a subset has a caption, so that columns are also the groups of captions."""
    group = torch.from_numpy(scored.queries.video_of_caption)

    def ranks(columns: np.ndarray) -> np.ndarray:
        scores = torch.from_numpy(scored.reranked(name, "v2t", scored.similarity[:, columns]))
        return V2T_CONVENTIONS[scored.v2t](scores, group, torch.from_numpy(columns), scored.similarity.shape[1]).numpy()

    return ranks


def _batches(ranks: BatchRanks, queries: np.ndarray) -> dict[str, float]:
    sizes = {str(size): size for size in BATCHES if size < len(queries)} | {"all": len(queries)}
    return {
        label: _recall_at_1(np.concatenate([ranks(queries[i : i + size]) for i in range(0, len(queries), size)]))
        for label, size in sizes.items()
    }


def _repeated(ranks: BatchRanks, queries: np.ndarray) -> RepeatedRecall:
    chosen = min(MOST_REPEATED, len(queries))
    often = [ranks(np.concatenate([queries, np.repeat(queries[i], REPEATS - 1)]))[i] for i in range(chosen)]
    return RepeatedRecall(_recall_at_1(ranks(queries)[:chosen]), _recall_at_1(np.array(often)))


def _two_captions(owner: np.ndarray, videos: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """The first caption of each video that has two, and those followed by the second ones; None where none has."""
    captions = [np.flatnonzero(owner == video)[:2] for video in videos]
    pairs = np.array([rows for rows in captions if len(rows) == 2], dtype=np.int64)
    return (pairs[:, 0], pairs.T.reshape(-1)) if len(pairs) else None


def _recall_at_1(ranks: np.ndarray) -> float:
    return 100.0 * float(np.mean(ranks == 1))
