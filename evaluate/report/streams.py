"""Scores by stream, and what each stream is worth: alone, and left out. Gate weights of a run's videos."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from ...train.encoder import CHUNK
from ...train.scoring import RunScorer
from ..names import NONE, Reranking
from ..ranked import Method, Ranked, rank_scored, rank_subset
from ..result import MetricsPair
from ..scored import Scored


@torch.no_grad()
def stream_scores(scorer: RunScorer, subset: str) -> np.ndarray:
    """`(S, M, N)` float32 in logit units: the subset's captions against its videos, stream by stream."""
    model, features = scorer.model, scorer.features
    captions, videos = features.captions_of(subset), features.videos_of(subset)
    encoded = torch.cat(
        [model.encode_videos(features.frames_of(part), features.mask[part]) for part in videos.split(CHUNK)], dim=1
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


Numbers = Callable[[np.ndarray], MetricsPair]
"""The raw numbers with other weights of the streams, `(S,)`."""


def stream_numbers(numbers: Numbers, weights: dict[str, float], strategies: dict[str, str]) -> list[StreamNumbers]:
    """What each stream is worth; `weights` and `strategies` by stream, in the order of the weights of `numbers`."""
    share = np.array(list(weights.values()))
    found = []
    for place, name in enumerate(weights):
        rest = np.where(np.arange(len(share)) == place, 0.0, share)
        left_out = numbers(rest) if rest.sum() > 0 else None
        found.append(StreamNumbers(name, strategies[name], weights[name], numbers(np.eye(len(share))[place]), left_out))
    return found


def mixed_ranking(by_stream: np.ndarray, ranked: Ranked) -> Numbers:
    """From scores by stream `(S, M, N)`, by the way that all scores go."""
    held = ranked.scored
    assert held is not None

    def numbers(weights: np.ndarray) -> MetricsPair:
        used = np.flatnonzero(weights)
        mixed = np.tensordot(weights[used] / weights.sum(), by_stream[used].astype(np.float64), axes=1)
        scored: Scored = replace(held, similarity=mixed, rerankings={NONE: Reranking(NONE)}, bank={}, left_out={})
        return rank_scored(scored, hubness=False).metrics(NONE)

    return numbers


def weighted_ranking(scorer: RunScorer, subset: str, method: Method) -> Numbers:
    """By ranking anew, for scores that are too many to hold."""
    plain = replace(method, rerankings=(Reranking(NONE),), hubness=False)

    def numbers(weights: np.ndarray) -> MetricsPair:
        other = copy.copy(scorer)
        other.model = copy.deepcopy(scorer.model)
        other.model.weights.copy_(torch.from_numpy(weights / weights.sum()))
        return rank_subset(other, subset, plain).metrics(NONE)

    return numbers


@torch.no_grad()
def gate_shares(scorer: RunScorer, subset: str) -> np.ndarray | None:
    """`(N, S, E)` gate weights of the subset's videos, `S` 1 where only the fusion stream has a gate; none without."""
    shares = getattr(getattr(scorer.model, "gate", None), "shares", None)
    if shares is None:
        return None
    features = scorer.features
    parts = [shares(features.frames_of(rows), features.mask[rows]) for rows in features.videos_of(subset).split(CHUNK)]
    found: np.ndarray = torch.cat(parts).cpu().numpy()
    return found if found.ndim == 3 else found[:, None]
