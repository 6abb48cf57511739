"""The core of search and report: a run's model, or zero-shot, and a store; any text or video against it.

searcher = Searcher.open("runs/x")                        # or Searcher.open(None, "shards.h5"): zero-shot
for hit in searcher.search("a dog catches a ball", top=5):
    print(hit.rank, hit.id, hit.score, hit.moment_s, hit.path)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from os import PathLike
from pathlib import Path

import numpy as np

from ...pipeline.errors import CamoeError
from ...pipeline.reranking.base import Reranker
from ...pipeline.store.reader import StorePaths
from ..names import NONE
from .bank import fitted, reranked
from .cutoff import Cutoff
from .hits import best_rows, caption_hits, video_hits
from .matcher import Matcher
from .opening import open_ranker
from .query import Query
from .query_text import QueryReader, TextOptions
from .records import CaptionHit, Hit
from .sources import VideoFolder
from .weights import Weights

_CAPTIONS_AT_ONCE = 4096


@dataclass
class Searcher(Matcher):
    """Made by `open`. `folder` is where the files of the videos lie, `paths` what the store was opened by.

    `run` is none for zero-shot; `strategies` maps streams to strategies. Scores by stream are `(S, N)` float32 in logit
    units, streams in the order of `streams`, videos in that of `gallery.ids`. `weights` of `score` and `search` map
    streams to shares (their sum is made 1); none are the model's.
    """

    folder: VideoFolder
    paths: StorePaths = ()
    _rerankers: dict[tuple, Reranker] = field(init=False, repr=False, default_factory=dict)

    @classmethod
    def open(
        cls,
        run: str | PathLike[str] | None,
        features: StorePaths | None = None,
        *,
        videos: str | PathLike[str] | None = None,
        clip: str | None = None,
        clip_cache: str | PathLike[str] | None = None,
        device: str = "auto",
        subset: str | None = None,
        protocol: str | None = None,
        streams: Sequence[str] = (),
        tagger: str | None = None,
        index: str | PathLike[str] | None = None,
        without_emcl: bool = False,
    ) -> Searcher:
        """A run's model on `features` (none: the store that it was trained on), or zero-shot on a store alone.

        `videos` is the folder that the store's videos lie in (none: looked for near the store); `clip`, `clip_cache`,
        `streams` and `tagger` say how queries are read where the store does not; `subset` of `protocol` narrows the
        gallery. With an `index` of the store (camoe-store export), not all videos are compared, but those nearest by
        plain CLIP. A run with EMCL is refused, or compared `without_emcl`. Raises `CamoeError` where something is
        missing or does not fit; the text tower is loaded, and may be refused, when the first text is encoded.
        """
        opened = open_ranker(
            run,
            features,
            device=device,
            subset=subset,
            protocol=protocol,
            index=index,
            without_emcl=without_emcl,
        )
        options = TextOptions(clip, None if clip_cache is None else Path(clip_cache), device, tuple(streams), tagger)
        return cls(
            run=opened.run,
            store=opened.store,
            gallery=opened.gallery,
            ranker=opened.ranker,
            reader=QueryReader(opened.store.settings, opened.strategies, options),
            strategies=opened.strategies,
            folder=VideoFolder.find(opened.store, opened.gallery, None if videos is None else Path(videos)),
            paths=opened.paths,
        )

    def search(
        self,
        text: str | None = None,
        *,
        like: str | PathLike[str] | None = None,
        without: str | None = None,
        top: int = 10,
        weights: Weights | None = None,
        cutoff: float | None = None,
        rerank: str = NONE,
    ) -> list[Hit]:
        """`results` for a text, or for a video by `like`, with what is `without` subtracted: see `query`."""
        query = self.query(text, like=like, without=without)
        return self.results(query, top=top, weights=weights, cutoff=cutoff, rerank=rerank)

    def results(
        self,
        query: Query,
        *,
        top: int = 10,
        weights: Weights | None = None,
        cutoff: float | None = None,
        rerank: str = NONE,
    ) -> list[Hit]:
        """The best `top` videos for a query; none whose own score is below the `cutoff`.

        A video of the gallery, by its id, is not among those like it; a file's own copy in the gallery is. A text's
        videos may be re-ranked by one of `camoe.evaluate.names.ONE_QUERY`: then that is their score.
        """
        scores = self.mix(self.score(query), weights)
        if rerank != NONE:
            scores = reranked(self._reranker(rerank, weights), scores)
        allowed = self.others(query)
        if cutoff is not None:
            allowed &= self.mix(self.wanted_score(query), weights) >= cutoff
        return self.hits(query, scores, self.best(scores, top, allowed), weights)

    def others(self, query: Query) -> np.ndarray:
        """`(N,)` bool: all videos but the one that is itself what is searched by."""
        found = np.ones(len(self.gallery), bool)
        if query.own_row is not None:
            found[query.own_row] = False
        return found

    def _reranker(self, name: str, weights: Weights | None) -> Reranker:
        """Fitted when it is first asked for."""
        key = name, tuple(self.shares(weights).tolist())
        if key not in self._rerankers:
            self._rerankers[key] = fitted(self, name, weights)
        return self._rerankers[key]

    @staticmethod
    def best(scores: np.ndarray, top: int, allowed: np.ndarray | None = None) -> np.ndarray:
        """Rows of the `top` best of `scores (N,)`, best first, equal ones by id; only `allowed (N,)` ones."""
        return best_rows(scores, top, allowed)

    def hits(self, query: Query, scores: np.ndarray, rows: np.ndarray, weights: Weights | None = None) -> list[Hit]:
        """The records of some rows, in their order, each with its best moment."""
        if not len(rows):
            return []
        frames = self.mix(self.frame_scores(query, rows.tolist()), weights)
        return video_hits(self.gallery, self.folder, rows, scores, frames)

    def captions_for(
        self, video: str | PathLike[str], *, top: int = 10, weights: Weights | None = None
    ) -> list[CaptionHit]:
        """The store's captions that fit a video best: one of the store, by its id, or a file."""
        count = len(self.store.caption_ids) if self.store.has_captions else 0
        if not count:
            raise CamoeError(f"{self.store.shards[0].path} has no captions to look through; search for videos instead")
        frames, mask = self.queries.frames(video, "--captions-for")
        found = []
        for part in np.array_split(np.arange(count), -(-count // _CAPTIONS_AT_ONCE)):
            texts = self.caption_embeddings(part.tolist())
            found.append(self.mix(self.ranker.pairs(texts, frames, mask)[:, :, 0].cpu().numpy(), weights))
        scores = np.concatenate(found)
        return caption_hits(self.store, self.best(scores, top), scores)

    @cached_property
    def cutoff(self) -> Cutoff:
        """Where nonsense ends, as far as it can be told (`cutoff.py`)."""
        return Cutoff.of(self)

    def auto_cutoff(
        self, query: Query, weights: Weights | None = None, wanted: np.ndarray | None = None
    ) -> float | None:
        """The calibrated cut-off for a query; none for a video, as it is about texts.

        `wanted` is `wanted_score(query)`, where it is known already.
        """
        if query.length is None:
            return None
        if (sample := self.cutoff.sample_for(query.length)) is None:
            return self.cutoff.at(weights)
        if wanted is not None and self.ranker.candidates is None:
            typical = wanted[:, sample]
        else:
            assert query.parts[0].texts is not None
            typical = self.pair_scores(query.parts[0].texts, sample)[:, 0]
        return self.cutoff.of_short(query.length, typical, weights)
