"""Searching under a re-ranking that needs no other queries: fitted once to the store's training captions."""

from __future__ import annotations

import numpy as np
import torch

from ...pipeline.errors import CamoeError
from ...pipeline.reranking.base import ALL, Reranker, fit
from ...pipeline.reranking.table import make
from ...pipeline.scores import MatrixScores
from ...pipeline.store import SUBSETS
from ..names import Reranking
from ..score_source import drawn
from ..scored import complete
from .matcher import Matcher
from .weights import Weights

MOST_CAPTIONS, MOST_SCORES = 20_000, 2**28
AT_ONCE = 512


def fitted(matcher: Matcher, name: str, weights: Weights | None) -> Reranker:
    """A re-ranking by name, fitted to the training captions' scores of the videos that are searched.

    Raises `CamoeError` where there are no such captions, or where not all videos are compared with a query.
    """
    if matcher.ranker.candidates is not None:
        raise CamoeError(
            f"--rerank {name} needs every video's score, and here only the nearest are compared; leave out --rerank"
        )
    rows = torch.from_numpy(np.flatnonzero(_training(matcher)))
    if not len(rows):
        raise CamoeError(f"--rerank {name} needs training captions, and the store has none for this; leave it out")
    rows = drawn(rows, min(MOST_CAPTIONS, max(1, MOST_SCORES // len(matcher.gallery))), seed=0)
    blocks = [
        matcher.mix(matcher.ranker.of_texts(matcher.caption_embeddings(part.tolist())).cpu().numpy(), weights)
        for part in rows.split(AT_ONCE)
    ]
    asked = complete(Reranking(name), matcher.model.logit_scale.exp().item())
    reranker = make(asked.name, asked.options)
    fit([reranker], bank=MatrixScores.of(np.concatenate(blocks), "the bank"))
    return reranker


def reranked(reranker: Reranker, scores: np.ndarray) -> np.ndarray:
    """The scores `(N,)` of one query, re-ranked."""
    return reranker.change(torch.from_numpy(scores)[None].double(), ALL)[0].numpy()


def _training(matcher: Matcher) -> np.ndarray:
    """`(M,)` bool: the run's training captions; for zero-shot those of the store's only protocol."""
    protocols = matcher.store.protocols
    if matcher.run is None and len(protocols) == 1:
        (codes,) = protocols.values()
        return np.asarray(codes == SUBSETS["train"])
    return matcher.trained_on()
