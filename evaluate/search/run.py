"""What `camoe-search` does for a config: one search."""

from __future__ import annotations

from ...pipeline.errors import CamoeError
from .config import AUTO, SearchConfig, check_text
from .records import CaptionHit, Hit
from .searcher import Searcher


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


def find(config: SearchConfig, text: str | None) -> tuple[list[Hit] | list[CaptionHit], str | None]:
    """The results for a text, or for what the config names, and a sentence about the cut-off where there is one."""
    check_text(text)
    asked = [given for given in (text, config.like, config.videos_for, config.captions_for) if given is not None]
    if len(asked) != 1:
        raise CamoeError('give one thing to search for: "a text", --like ID|FILE, or --captions-for ID|FILE')
    searcher = open_searcher(config)
    weights = config.stream_weights
    if config.captions_for is not None:
        return searcher.captions_for(config.captions_for, top=config.top, weights=weights), None
    wanted = config.videos_for if text is None else text
    cutoff = searcher.cutoff.at(weights) if config.cutoff == AUTO else config.cutoff_value
    hits = searcher.search(
        wanted,
        like=config.like,
        without=config.without,
        top=config.top,
        weights=weights,
        cutoff=cutoff,
        rerank=config.rerank,
    )
    if cutoff is None:
        return hits, None
    basis = f" ({searcher.cutoff.basis})" if config.cutoff == AUTO else ""
    found = f"{len(hits)} shown" if hits else "nothing scores as much"
    return hits, f"cut-off {cutoff:.2f}{basis}: {found}"
