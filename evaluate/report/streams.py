"""Scores by stream, and what each stream is worth: alone, and left out. Gate weights of a run's videos."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from ...train.scoring import RunScorer
from ...train.validation import CHUNK
from ..names import NONE, Reranking
from ..ranked import Ranked, rank_scored
from ..result import MetricsPair
from ..scored import Scored


@torch.no_grad()
def stream_scores(scorer: RunScorer, subset: str) -> np.ndarray:
    """`(S, M, N)` float32 in logit units: the subset's captions against its videos, stream by stream."""
    model, features = scorer.model, scorer.features
    captions, videos = features.captions_of(subset), features.videos_of(subset)
    encoded = torch.cat(
        [model.encode_videos(features.frames[part], features.mask[part]) for part in videos.split(CHUNK)], dim=1
    )
    parts = [
        model.compare(model.encode_texts(features.texts_of(part)), encoded, features.mask[videos])
        for part in captions.split(CHUNK)
    ]
    return torch.cat(parts, dim=1).cpu().numpy()


@dataclass(frozen=True)
class StreamNumbers:
    """One stream: its share of the score, and the raw numbers with it `alone` and without it (none of the last one)."""

    name: str
    strategy: str
    weight: float
    alone: MetricsPair
    left_out: MetricsPair | None


def stream_numbers(by_stream: np.ndarray, ranked: Ranked, weights: dict[str, float], strategies: dict[str, str]) -> (
    list[StreamNumbers]
):  # fmt: skip
    """What each stream is worth; `weights` and `strategies` by stream, in the order of `by_stream (S, M, N)`."""
    share = np.array(list(weights.values()))
    found = []
    for place, name in enumerate(weights):
        rest = np.where(np.arange(len(share)) == place, 0.0, share)
        left_out = _numbers(by_stream, rest, ranked) if rest.sum() > 0 else None
        alone = _numbers(by_stream, np.eye(len(share))[place], ranked)
        found.append(StreamNumbers(name, strategies[name], weights[name], alone, left_out))
    return found


def _numbers(by_stream: np.ndarray, weights: np.ndarray, ranked: Ranked) -> MetricsPair:
    """Raw, by the way that all scores go."""
    assert ranked.scored is not None
    used = np.flatnonzero(weights)
    mixed = np.tensordot(weights[used] / weights.sum(), by_stream[used].astype(np.float64), axes=1)
    scored: Scored = replace(ranked.scored, similarity=mixed, rerankings={NONE: Reranking(NONE)}, bank={}, left_out={})
    return rank_scored(scored, hubness=False).metrics(NONE)


@torch.no_grad()
def gate_shares(scorer: RunScorer, subset: str) -> np.ndarray | None:
    """`(N, S, E)` gate weights of the subset's videos, `S` 1 where only the fusion stream has a gate; none without."""
    shares = getattr(getattr(scorer.model, "gate", None), "shares", None)
    if shares is None:
        return None
    features = scorer.features
    parts = [shares(features.frames[rows], features.mask[rows]) for rows in features.videos_of(subset).split(CHUNK)]
    found: np.ndarray = torch.cat(parts).cpu().numpy()
    return found if found.ndim == 3 else found[:, None]
