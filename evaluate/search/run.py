"""What `camoe-search` does for a config: one search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...pipeline.errors import CamoeError
from .config import AUTO, SearchConfig, check_text
from .query import Query
from .records import CaptionHit, Hit
from .searcher import Searcher


@dataclass(frozen=True)
class Found:
    """The results, and sentences for the user beside them."""

    hits: Sequence[Hit] | Sequence[CaptionHit]
    notes: tuple[str, ...] = ()


def open_searcher(config: SearchConfig) -> Searcher:
    """The searcher that a config describes."""
    return Searcher.open(
        config.run,
        config.features,
        videos=config.videos,
        index=config.index,
        clip=config.clip,
        clip_cache=config.clip_cache,
        device=config.device,
        subset=config.subset,
        protocol=config.protocol,
        streams=config.stream,
        tagger=config.tagger,
    )


def find(config: SearchConfig, text: str | None) -> Found:
    """The results for a text, or for what the config names."""
    check_text(text)
    asked = [given for given in (text, config.like, config.videos_for, config.captions_for) if given is not None]
    if len(asked) != 1:
        raise CamoeError('give one thing to search for: "a text", --like ID|FILE, or --captions-for ID|FILE')
    searcher = open_searcher(config)
    if config.captions_for is not None:
        return Found(searcher.captions_for(config.captions_for, top=config.top, weights=config.stream_weights))
    return _videos(config, searcher, config.videos_for if text is None else text)


def _videos(config: SearchConfig, searcher: Searcher, text: str | None) -> Found:
    weights = config.stream_weights
    query = searcher.query(text, like=config.like, without=config.without)
    cutoff = searcher.auto_cutoff(query, weights) if config.cutoff == AUTO else config.cutoff_value
    hits = searcher.results(query, top=config.top, weights=weights, cutoff=cutoff, rerank=config.rerank)
    about_folder = searcher.folder.doubt if config.videos is not None else ""
    return Found(hits, tuple(filter(None, (about_folder, _about_cutoff(config, searcher, query, cutoff)))))


def _about_cutoff(config: SearchConfig, searcher: Searcher, query: Query, cutoff: float | None) -> str:
    if config.cutoff is None:
        return ""
    if cutoff is None:
        return "no cut-off: the calibrated one is for texts, and this searches by a video; --cutoff NUMBER sets one"
    basis = f" ({searcher.cutoff.basis_of(query.length)})" if config.cutoff == AUTO else ""
    scores = searcher.mix(searcher.wanted_score(query), config.stream_weights)
    best = scores.max(initial=-np.inf, where=searcher.others(query))
    return f"cut-off {cutoff:.2f}{basis}; the nearest video scores {best:.2f}"
