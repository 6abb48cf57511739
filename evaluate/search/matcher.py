"""Queries against a gallery as arrays of scores: what a search shows, and where it cuts off, is made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path

import numpy as np
import torch

from ...pipeline.store import SUBSETS, FeatureStore
from ...train.run_folder import Run
from ...train.scorer import Scorer
from .gallery import Gallery
from .hits import best_rows
from .query import Part, Query
from .query_maker import QueryMaker
from .query_text import QueryReader
from .ranker import Ranker
from .records import Reading
from .video_rows import VideoRows
from .weights import Weights, mixed, shares

_TEXTS_AT_ONCE = 8
"""Of a model that meets every pair of text and video, whose products would fill the memory."""


@dataclass
class Matcher:
    """`run` is none for zero-shot; `strategies` maps streams to strategies.

    Scores by stream are `(S, N)` float32 in logit units, streams in the order of `streams`, videos in that of
    `gallery.ids`. `weights` map streams to shares (their sum is made 1); none are the model's.
    """

    run: Run | None
    store: FeatureStore
    gallery: Gallery
    ranker: Ranker
    reader: QueryReader
    strategies: dict[str, str]

    @property
    def streams(self) -> list[str]:
        """Names of the `S` streams."""
        return list(self.strategies)

    @property
    def model(self) -> Scorer:
        """The model, on its device."""
        return self.ranker.model

    @property
    def weights(self) -> dict[str, float]:
        """The model's share of each stream."""
        return dict(zip(self.streams, self.model.weights.tolist(), strict=True))

    def row_of(self, video_id: str) -> int:
        """The row of a video in the gallery; raises `CamoeError` where it is not searched."""
        return self._rows.of(video_id)

    def has(self, video_id: str) -> bool:
        """Whether a video is searched."""
        return video_id in self._rows

    @cached_property
    def _rows(self) -> VideoRows:
        return VideoRows(self.gallery, self.store)

    @property
    def has_captions(self) -> bool:
        """Whether the store's captions can be compared with videos: a model that reads words needs theirs."""
        return self.store.has_captions and (not self.reads_words or self.store.has_word_tokens)

    @property
    def reads_words(self) -> bool:
        """Whether the model compares words, not only whole texts."""
        return self.queries.reads_words

    def trained_on(self) -> np.ndarray:
        """`(M,)` bool: which of the store's captions the run was trained on, by its protocol."""
        store = self.store
        if self.run is None or self.run.protocol not in store.protocols:
            return np.zeros(len(store.caption_ids), bool)
        held_out = store.caption_video_ids.among(self.run.held_out_videos)
        return (store.protocols[self.run.protocol] == SUBSETS["train"]) & ~held_out

    # -- queries

    @cached_property
    def queries(self) -> QueryMaker:
        """What makes queries, as the model compares them."""
        return QueryMaker(self.run, self.store, self._rows, self.ranker, self.reader, self.strategies)

    def read(self, text: str) -> list[Reading]:
        """A query as each stream reads it: which words it keeps."""
        return self.reader.read(text)

    def query(
        self, text: str | None = None, *, like: str | PathLike[str] | None = None, without: str | None = None
    ) -> Query:
        """A text or, by `like`, a video: the id of one that is searched, or a file; `without` is subtracted."""
        return self.queries.query(text, like=like, without=without)

    def caption_query(self, caption: int) -> Query:
        """A caption of the store, by its row, from its stored embeddings: no text tower is needed."""
        return self.queries.caption_query(caption)

    def caption_embeddings(self, captions: Sequence[int]) -> torch.Tensor:
        """`(S, M, D)` of captions of the store, by their rows, as they were stored; with their words, where the model
        reads words: raises `CamoeError` then where the store lacks them, or they are too many for the model."""
        return self.queries.captions(captions)

    def encoded(self, texts: Sequence[str]) -> torch.Tensor:
        """`(S, M, D)` of texts as the tower gives them; with their words, where the model reads words."""
        return self.queries.texts(texts)

    def embed(self, path: str | PathLike[str]) -> np.ndarray:
        """The frame embeddings `(T, D)` float32 of a video file, sampled and encoded as the store's were."""
        return self.queries.embed(Path(path)).cpu().numpy()

    # -- scores

    def similarity(self, texts: Sequence[str], weights: Weights | None = None) -> np.ndarray:
        """`M` texts against all videos: `(M, N)` float32 in logit units, columns in the order of `gallery.ids`."""
        return self.mix(np.stack([self.wanted_score(self.query(text)) for text in texts], axis=1), weights)

    def score(self, query: Query) -> np.ndarray:
        """`(S, N)`: what is searched for, less what is subtracted; minus infinity where a model does not compare."""
        wanted, *others = (part.weight * self._part_scores(part) for part in query.parts)
        return sum((np.where(np.isfinite(scores), scores, 0) for scores in others), start=wanted)

    def wanted_score(self, query: Query) -> np.ndarray:
        """`(S, N)` of what is searched for alone: the cut-off is about this."""
        return self._part_scores(query.parts[0])

    def _part_scores(self, part: Part) -> np.ndarray:
        if part.texts is not None:
            return self.ranker.of_texts(part.texts)[:, 0].cpu().numpy()
        assert part.videos is not None
        assert part.clip is not None
        return self.ranker.of_video(part.videos, part.clip)[:, 0].cpu().numpy()

    def own_scores(self, texts: torch.Tensor, rows: np.ndarray) -> np.ndarray:
        """`c (S, M, D)`, each against one video of the gallery, `rows (M,)`: `(S, M)`."""
        found = np.empty(texts.shape[:2], np.float32)
        for place, row in enumerate(rows.tolist()):
            found[:, place] = self.ranker.of_rows(texts[:, [place]], np.array([row]))[:, 0, 0].cpu().numpy()
        return found

    def pair_scores(self, texts: torch.Tensor, rows: np.ndarray) -> np.ndarray:
        """`c (S, M, D)` against some videos of the gallery, `rows (B,)`, each pair by the model: `(S, M, B)`."""
        at_once = _TEXTS_AT_ONCE if self.ranker.conditioned else texts.shape[1]
        found = [self.ranker.of_rows(part, rows).cpu().numpy() for part in texts.split(at_once, dim=1)]
        return np.concatenate(found, axis=1)

    def text_scores(self, texts: Sequence[str], best: int) -> np.ndarray:
        """`M` texts against the `best` videos of each, by the model's own weights: `(S, M, best)`, or all of them."""
        found = []
        for text in texts:
            scores = self.ranker.of_texts(self.encoded([text]))[:, 0].cpu().numpy()
            found.append(scores[:, best_rows(self.mix(scores), best)])
        return np.stack(found, axis=1)

    def frame_scores(self, query: Query, rows: Sequence[int]) -> np.ndarray:
        """Single frames of `R` videos against a query: `(S, R, T)`, NaN where there is no frame."""
        parts = [part.weight * self.ranker.of_frames(part.texts, part.videos, rows) for part in query.parts]
        return torch.stack(parts).sum(dim=0).cpu().numpy()

    def prepare_moments(self, go_on: Callable[[], bool] = lambda: True) -> bool:
        """Encode the frames of all videos, so that best moments cost one small product; whether they fit (1 GiB).

        For who opens a searcher once and asks it often; without it they are encoded when first shown. `go_on` is asked
        now and then whether to. Nothing to do for models that meet every pair of text and video.
        """
        return not self.ranker.conditioned and self.ranker.frames.prepare(go_on)

    def mix(self, by_stream: np.ndarray, weights: Weights | None = None) -> np.ndarray:
        """`Σ_s w_s · by_stream[s]`: `(S, …) -> (…)`; raises `CamoeError` for weights that are none."""
        return mixed(by_stream, self.shares(weights))

    def shares(self, weights: Weights | None = None) -> np.ndarray:
        """Weights as `(S,)` float32 shares with sum 1; a stream that is not named has none."""
        return shares(self.weights if weights is None else weights, self.streams)
