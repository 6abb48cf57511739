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
from typing import Any

import numpy as np
import torch

from ..pipeline.ranking import V2T_CONVENTIONS, text_to_video_ranks
from .pool import Pool

BATCHES = (1, 10, 100)
REPEATS = 100
MOST_QUERIES, MOST_REPEATED = 500, 50

BatchRanks = Callable[[np.ndarray], np.ndarray]
"""Indices of queries (Q,), asked together, to their ranks (Q,)."""


def stress_test(pool: Pool, seed: int = 0) -> dict[str, Any]:
    """R@1 under the three stresses, by re-ranking; at most `MOST_QUERIES` queries of either direction, drawn by seed.

    `{"queries": {direction: n}, "repeated_queries": {direction: n}, "batches": {rerank: {direction: {"1", …, "all"}}},
    "repeated": {rerank: {direction: {"alone", "repeated"}}}, "two_captions": {rerank: {"one", "two"}}}`; the last is
    None where no video has two captions.
    """
    drawn = {
        direction: np.random.default_rng(seed).permutation(total)[:MOST_QUERIES]
        for direction, total in zip(("t2v", "v2t"), pool.similarity.shape, strict=True)
    }
    pairs = _two_captions(pool.video_of_caption, drawn["v2t"])
    found: dict[str, Any] = {"queries": {direction: len(queries) for direction, queries in drawn.items()}}
    found["repeated_queries"] = {direction: min(MOST_REPEATED, len(queries)) for direction, queries in drawn.items()}
    found |= {"batches": {}, "repeated": {}, "two_captions": {} if pairs else None}
    for name in pool.options:
        asked = {"t2v": _text_queries(pool, name), "v2t": _video_queries(pool, name)}
        found["batches"][name] = {d: _batches(asked[d], drawn[d]) for d in asked}
        found["repeated"][name] = {d: _repeated(asked[d], drawn[d]) for d in asked}
        if pairs:
            first, both = pairs
            two = asked["t2v"](both)[: len(first)]
            found["two_captions"][name] = {"one": _recall_at_1(asked["t2v"](first)), "two": _recall_at_1(two)}
    return found


def _text_queries(pool: Pool, name: str) -> BatchRanks:
    def ranks(rows: np.ndarray) -> np.ndarray:
        scores = pool.reranked(name, "t2v", pool.similarity[rows])
        return text_to_video_ranks(scores, pool.video_of_caption[rows])

    return ranks


def _video_queries(pool: Pool, name: str) -> BatchRanks:
    """Every video of the pool has a caption, so that columns are also the groups of captions."""
    group = torch.from_numpy(pool.video_of_caption)

    def ranks(columns: np.ndarray) -> np.ndarray:
        scores = torch.from_numpy(pool.reranked(name, "v2t", pool.similarity[:, columns]))
        return V2T_CONVENTIONS[pool.v2t](scores, group, torch.from_numpy(columns), pool.similarity.shape[1]).numpy()

    return ranks


def _batches(ranks: BatchRanks, queries: np.ndarray) -> dict[str, float]:
    sizes = {str(size): size for size in BATCHES if size < len(queries)} | {"all": len(queries)}
    return {
        label: _recall_at_1(np.concatenate([ranks(queries[i : i + size]) for i in range(0, len(queries), size)]))
        for label, size in sizes.items()
    }


def _repeated(ranks: BatchRanks, queries: np.ndarray) -> dict[str, float]:
    chosen = min(MOST_REPEATED, len(queries))
    often = [ranks(np.concatenate([queries, np.repeat(queries[i], REPEATS - 1)]))[i] for i in range(chosen)]
    return {"alone": _recall_at_1(ranks(queries)[:chosen]), "repeated": _recall_at_1(np.array(often))}


def _two_captions(owner: np.ndarray, videos: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """The first caption of each video that has two, and those followed by the second ones; None where none has."""
    captions = [np.flatnonzero(owner == video)[:2] for video in videos]
    pairs = np.array([rows for rows in captions if len(rows) == 2], dtype=np.int64)
    return (pairs[:, 0], pairs.T.reshape(-1)) if len(pairs) else None


def _recall_at_1(ranks: np.ndarray) -> float:
    return 100.0 * float(np.mean(ranks == 1))
