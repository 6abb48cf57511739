"""From scores to what is shown: the best rows, and the record of each."""

from __future__ import annotations

import numpy as np

from ...pipeline.errors import CamoeError
from ...pipeline.store import FeatureStore
from .gallery import Gallery
from .records import CaptionHit, Hit
from .sources import VideoFolder


def best_rows(scores: np.ndarray, top: int, allowed: np.ndarray | None = None) -> np.ndarray:
    """Rows of the `top` best of `scores (N,)`, best first, equal ones as they stand; only `allowed (N,)` ones, and none
    that scores minus infinity. Raises `CamoeError` for a `top` below 1."""
    if top < 1:
        raise CamoeError(f"top must be at least 1, not {top}")
    rows = np.flatnonzero(np.isfinite(scores) if allowed is None else allowed & np.isfinite(scores))
    if len(rows) > top:
        part = scores[rows]
        edge = np.partition(part, len(part) - top)[len(part) - top]
        rows = rows[part >= edge]
    return rows[np.argsort(-scores[rows], kind="stable")][:top]


def video_hits(
    gallery: Gallery, folder: VideoFolder, rows: np.ndarray, scores: np.ndarray, frame_scores: np.ndarray
) -> list[Hit]:
    """The records of `rows (R,)` of a gallery, in their order, by the scores `(N,)` of all videos.

    `frame_scores (R, T)` are those of their single frames, NaN where there is none.
    """
    return [
        Hit(
            rank,
            gallery.ids[row],
            round(float(scores[row]), 4),
            _moment_s(gallery.times_s[row], frames),
            folder.shown(gallery.source[row]),
        )
        for rank, (row, frames) in enumerate(zip(rows.tolist(), frame_scores, strict=True), start=1)
    ]


def caption_hits(store: FeatureStore, rows: np.ndarray, scores: np.ndarray) -> list[CaptionHit]:
    """The records of `rows (R,)` of a store's captions, in their order, by the scores `(M,)` of all captions."""
    columns = (store.caption_ids, store.caption_video_ids, store.caption_texts)
    shown = zip(rows.tolist(), *(column.take(rows) for column in columns), strict=True)
    return [
        CaptionHit(rank, caption_id, video_id, round(float(scores[row]), 4), text)
        for rank, (row, caption_id, video_id, text) in enumerate(shown, start=1)
    ]


def _moment_s(times_s: np.ndarray, frame_scores: np.ndarray) -> float | None:
    moment = float(times_s[int(np.nanargmax(frame_scores))])
    return round(moment, 3) if np.isfinite(moment) else None
