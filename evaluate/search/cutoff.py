"""Where nonsense ends: a score that what a text is about nearly always reaches.

Every query has a best video, one that nothing fits too. With captions in the store the cut-off is what 95 of 100 of
them reach with their own video, captions that the run was not trained on where there are enough. Without, it is what
the best video of 9 of 10 unlikely sentences (`unlikely.txt`) stays below. Both are estimates, to be shown and adjusted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...pipeline.wording import counted

if TYPE_CHECKING:
    from .searcher import Searcher

KEPT_SHARE, REFUSED_SHARE = 0.95, 0.9
MOST_CAPTIONS, LEAST_CAPTIONS = 512, 20
BEST_VIDEOS = 1000
UNLIKELY = Path(__file__).with_name("unlikely.txt")


@dataclass(frozen=True)
class Cutoff:
    """Calibrated once, for any weights of the streams: `scores (S, K, n)` of `K` texts, of which the best `n` counts.

    `share` is the quantile of the texts' best scores that is the cut-off; `basis` says what it rests on.
    """

    searcher: Searcher
    scores: np.ndarray
    share: float
    basis: str

    def at(self, weights: Mapping[str, float] | None = None) -> float:
        """The cut-off in logit units for these weights of the streams (none: the model's)."""
        best = self.searcher.mix(self.scores, weights).max(axis=1)
        return float(np.quantile(best, self.share))

    @classmethod
    def of(cls, searcher: Searcher) -> Cutoff:
        """Calibrate on the store's captions, or without enough of them on the shipped sentences."""
        captions = _captions(searcher)
        if len(captions) >= LEAST_CAPTIONS:
            own = np.array([searcher.row_of(searcher.store.caption_video_ids[row]) for row in captions])
            texts = searcher.caption_embeddings(captions.tolist())
            basis = f"{counted(len(captions), 'caption')}: {KEPT_SHARE:.0%} of them reach it with their own video"
            return cls(searcher, searcher.own_scores(texts, own)[:, :, None], 1 - KEPT_SHARE, basis)
        sentences = UNLIKELY.read_text(encoding="utf-8").splitlines()
        basis = f"{len(sentences)} unlikely sentences: {REFUSED_SHARE:.0%} of them stay below it"
        return cls(searcher, searcher.text_scores(sentences, BEST_VIDEOS), REFUSED_SHARE, basis)


def _captions(searcher: Searcher) -> np.ndarray:
    """Rows of captions whose video is searched: of those not trained on where enough, drawn by a fixed seed."""
    store = searcher.store
    if not searcher.has_captions:
        return np.empty(0, np.int64)
    usable = store.caption_video_ids.among(searcher.gallery.ids)
    unseen = usable & ~searcher.trained_on()
    rows = np.flatnonzero(unseen if unseen.sum() >= LEAST_CAPTIONS else usable)
    draw = np.random.default_rng(0)
    return np.sort(draw.choice(rows, min(MOST_CAPTIONS, len(rows)), replace=False))
