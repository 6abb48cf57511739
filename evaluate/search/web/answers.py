"""What the server says: searches as JSON-ready records, the last queries kept so that sliders re-rank at once."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ....pipeline.errors import CamoeError
from ..config import AUTO, check_text, parse_cutoff, parse_weights
from ..query import Query
from ..searcher import Searcher
from ..watch import CHANGED, StoreWatch

MOST_KEPT_SCORES = 1 << 24
"""Numbers of the kept queries' scores, 64 MB."""
MOST_TOP = 200


@dataclass(frozen=True)
class Question:
    """What is asked: a `text` or `like` an id; `weights` as `fusion=1,entity=0.5`; `only` must be part of the id."""

    text: str | None = None
    like: str | None = None
    without: str | None = None
    weights: str | None = None
    cutoff: str = AUTO
    only: str = ""
    top: int = 24


@dataclass(frozen=True)
class Scored:
    """A query with its scores by stream `(S, N)`: `wanted` of what is searched for, `scores` of all."""

    query: Query
    wanted: np.ndarray
    scores: np.ndarray


class Answers:
    """Answers questions about one searcher; safe to call from several threads."""

    def __init__(self, searcher: Searcher) -> None:
        self.searcher = searcher
        self._kept: OrderedDict[tuple, Scored] = OrderedDict()
        self._lock = threading.Lock()
        self._watch = StoreWatch(searcher.paths)

    @cached_property
    def _lower_ids(self) -> list[str]:
        return [video_id.lower() for video_id in self.searcher.gallery.ids]

    def about(self) -> dict[str, Any]:
        """What is searched, and by what."""
        searcher = self.searcher
        return {
            "videos": len(searcher.gallery),
            "captions": len(searcher.store.caption_ids) if searcher.has_captions else 0,
            "model": searcher.run.title if searcher.run else "zero-shot",
            "clip": searcher.store.settings.clip_model,
            "streams": searcher.streams,
            "weights": searcher.weights,
            "candidates": searcher.ranker.candidates,
            "folder_known": searcher.folder.root is not None,
            "notes": self._notes(),
            "cutoff": searcher.cutoff.at(),
            "cutoff_basis": searcher.cutoff.basis,
        }

    def _notes(self) -> list[str]:
        """What the user should know beside any answer."""
        found = [self.searcher.folder.doubt] if self.searcher.folder.doubt else []
        return [*found, CHANGED] if self._watch.changed() else found

    def search(self, question: Question) -> dict[str, Any]:
        """The results and what the page shows around them."""
        searcher, weights = self.searcher, self._weights(question)
        scored = self._scored(question)
        calibrated = searcher.auto_cutoff(scored.query, weights, scored.wanted)
        cutoff = calibrated if question.cutoff == AUTO else self._cutoff(question)
        wanted, scores = searcher.mix(scored.wanted, weights), searcher.mix(scored.scores, weights)
        among = self._among(question.only) & searcher.others(scored.query) & np.isfinite(scores)
        allowed = among if cutoff is None else among & (wanted >= cutoff)
        rows = searcher.best(scores, min(question.top, MOST_TOP), allowed)
        hits = searcher.hits(scored.query, scores, rows, weights)
        return {
            "hits": [
                asdict(hit) | {"streams": self._by_stream(scored.scores[:, row]), "duration_s": self._duration(row)}
                for hit, row in zip(hits, rows.tolist(), strict=True)
            ],
            "found": int(allowed.sum()),
            "searched": int(among.sum()),
            "cutoff": cutoff,
            "calibrated": calibrated,
            "basis": None if calibrated is None else searcher.cutoff.basis_of(scored.query.length),
            "notes": self._notes(),
            "range": [float(scores[among].min()), float(scores[among].max())] if among.any() else None,
            "weights": dict(zip(searcher.streams, searcher.shares(weights).tolist(), strict=True)),
            "readings": [
                {
                    "stream": reading.stream,
                    "words": [
                        {"text": word, "kept": kept} for word, kept in zip(reading.words, reading.kept, strict=True)
                    ],
                    "fell_back": reading.fell_back,
                }
                for reading in scored.query.readings
            ],
        }

    def frames(self, question: Question, video_id: str) -> dict[str, Any]:
        """The scores of a video's frames, in the order of their times."""
        row = self.searcher.row_of(video_id)
        scored, weights = self._scored(question), self._weights(question)
        gallery = self.searcher.gallery
        count = int(gallery.count[row])
        scores = self.searcher.mix(self.searcher.frame_scores(scored.query, [row])[:, 0], weights)[:count]
        times = [self._number(value) for value in gallery.times_s[row, :count]]
        return {
            "id": video_id,
            "duration_s": self._duration(row),
            "frames": [{"time_s": at, "score": float(score)} for at, score in zip(times, scores, strict=True)],
        }

    def captions(self, video_id: str) -> list[dict[str, Any]]:
        """The store's captions that fit a video best."""
        self.searcher.row_of(video_id)
        if self._watch.changed():
            raise CamoeError(CHANGED)  # captions are read when they are asked for, and would be another store's
        return [asdict(hit) for hit in self.searcher.captions_for(video_id)] if self._has_captions else []

    @property
    def _has_captions(self) -> bool:
        return self.searcher.has_captions and bool(self.searcher.store.caption_ids)

    def source(self, video_id: str) -> tuple[str, Callable[[], int]]:
        """A video's source, and what opens it."""
        row = self.searcher.row_of(video_id)
        gallery, folder = self.searcher.gallery, self.searcher.folder
        source, size = gallery.source[row], int(gallery.size[row])
        return source, lambda: folder.open(source, size)

    def _scored(self, question: Question) -> Scored:
        key = (question.text, question.like, question.without)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        for text in (question.text, question.without):
            check_text(text)
        if question.text is None and question.like is None:
            raise CamoeError("give q, a text to search for, or like, the id of a video")
        if question.like is not None:
            self.searcher.row_of(question.like)  # an id, never a file of this machine
        query = self.searcher.query(question.text, like=question.like, without=question.without)
        wanted = self.searcher.wanted_score(query)
        scored = Scored(query, wanted, wanted if len(query.parts) == 1 else self.searcher.score(query))
        with self._lock:
            self._kept[key] = scored
            while len(self._kept) > 1 and len(self._kept) * 2 * wanted.size > MOST_KEPT_SCORES:
                self._kept.popitem(last=False)
        return scored

    def _weights(self, question: Question) -> dict[str, float] | None:
        entries = [entry for entry in (question.weights or "").split(",") if entry]
        return parse_weights(tuple(entries))

    @staticmethod
    def _cutoff(question: Question) -> float | None:
        return None if question.cutoff == "none" else parse_cutoff(question.cutoff)

    def _among(self, only: str) -> np.ndarray:
        part = only.strip().lower()
        if not part:
            return np.ones(len(self._lower_ids), bool)
        return np.array([part in name for name in self._lower_ids], bool)

    def _by_stream(self, scores: np.ndarray) -> dict[str, float | None]:
        values = map(self._number, scores.tolist())
        return dict(zip(self.searcher.streams, values, strict=True))

    def _duration(self, row: int) -> float | None:
        return self._number(self.searcher.gallery.duration_s[row])

    @staticmethod
    def _number(value: float) -> float | None:
        return round(float(value), 4) if math.isfinite(value) else None
