"""Where nonsense ends: a score that what a text is about nearly always reaches.

Every query has a best video, one that nothing fits too. With captions in the store the cut-off is what 95 of 100 of
them reach with their own video, captions that the run was not trained on where there are enough. Short queries score
less, and how much less depends on the query. So for those of up to three words it is a margin above the query's own
median over the gallery: the one that 80 of 100 short phrases from these captions reach with the best of the videos
whose captions hold them. It is never above the cut-off of captions, and grows to that with a query's length. Without
captions it is what the best video of 9 of 10 unlikely sentences (`unlikely.txt`) stays below, whatever the length.

All are estimates, to be shown and adjusted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ...extract.words import load_tagger, split_words
from ...pipeline.wording import counted
from .matcher import Matcher
from .phrases import LONGEST, Phrase, length_of, phrases, places
from .weights import Weights

KEPT_SHARE, KEPT_SHORT_SHARE, REFUSED_SHARE = 0.95, 0.8, 0.9
MOST_CAPTIONS, LEAST_CAPTIONS = 512, 20
MOST_PHRASES, LEAST_PHRASES = 200, 20
MOST_OWN = 32
"""Videos of a phrase that are compared with it: the best of them counts."""
MOST_READ = 20_000
"""Captions that are looked through for a phrase's videos."""
SAMPLE = 200
"""Videos that stand for the gallery where its median is wanted."""
SHORT_CAPTION = 0.1
"""The quantile of captions' lengths from which on a query counts as long as they are."""
BEST_VIDEOS = 1000
UNLIKELY = Path(__file__).with_name("unlikely.txt")


@dataclass(frozen=True)
class Short:
    """Of `K` short phrases their scores with own videos `(S, K, n)`, minus infinity where there are fewer, and with the
    gallery's `sample (n',)`, rows of it: `typical (S, K, n')`. `whole_length`, over `LONGEST`, is that of a shortish
    caption."""

    own: np.ndarray
    typical: np.ndarray
    sample: np.ndarray
    whole_length: float
    basis: str


@dataclass(frozen=True)
class Cutoff:
    """Calibrated once, for any weights of the streams: `scores (S, K, n)` of `K` texts, of which the best `n` counts.

    `share` is the quantile of the texts' best scores that is the cut-off; `basis` says what it rests on. `short` is
    for queries that are shorter than captions, none where there are too few captions.
    """

    matcher: Matcher
    scores: np.ndarray
    share: float
    basis: str
    short: Short | None = None
    _margins: dict[tuple[float, ...], float] = field(default_factory=dict, repr=False)

    def at(self, weights: Weights | None = None) -> float:
        """The cut-off in logit units of queries as long as captions, for these weights (none: the model's)."""
        best = self.matcher.mix(self.scores, weights).max(axis=1)
        return float(np.quantile(best, self.share))

    def sample_for(self, length: int) -> np.ndarray | None:
        """The rows of videos whose scores `of_short` needs, of a query of so many words (`length_of`).

        None where it is long enough to count as a caption, or there is no calibration for short ones.
        """
        return None if self.short is None or length >= self.short.whole_length else self.short.sample

    def of_short(self, length: int, typical: np.ndarray, weights: Weights | None = None) -> float:
        """That of a short query, by its scores `(S, n')` with the videos of `short.sample`."""
        assert self.short is not None
        whole = self.at(weights)
        least = min(whole, float(np.median(self.matcher.mix(typical, weights))) + self._margin(weights))
        return float(np.interp(length, [LONGEST, self.short.whole_length], [least, whole]))

    def _margin(self, weights: Weights | None) -> float:
        assert self.short is not None
        key = tuple(self.matcher.shares(weights).tolist())
        if key not in self._margins:
            best = self.matcher.mix(self.short.own, weights).max(axis=1)
            above = best - np.median(self.matcher.mix(self.short.typical, weights), axis=1)
            self._margins[key] = float(np.quantile(above, 1 - KEPT_SHORT_SHARE))
        return self._margins[key]

    def basis_of(self, length: int | None) -> str:
        """What the cut-off of a query of so many words rests on."""
        if length is None or self.short is None or self.sample_for(length) is None:
            return self.basis
        return self.short.basis if length <= LONGEST else f"between short phrases and {self.basis}"

    @classmethod
    def of(cls, matcher: Matcher) -> Cutoff:
        """Calibrate on the store's captions, or without enough of them on the shipped sentences."""
        captions = _captions(matcher)
        if len(captions) >= LEAST_CAPTIONS:
            own = np.array([matcher.row_of(matcher.store.caption_video_ids[row]) for row in captions])
            scores = matcher.own_scores(matcher.caption_embeddings(captions.tolist()), own)
            basis = f"{counted(len(captions), 'caption')}: {KEPT_SHARE:.0%} of them reach it with their own video"
            return cls(matcher, scores[:, :, None], 1 - KEPT_SHARE, basis, _short(matcher, captions))
        sentences = UNLIKELY.read_text(encoding="utf-8").splitlines()
        basis = f"{len(sentences)} unlikely sentences: {REFUSED_SHARE:.0%} of them stay below it"
        return cls(matcher, matcher.text_scores(sentences, BEST_VIDEOS), REFUSED_SHARE, basis)


def _captions(matcher: Matcher) -> np.ndarray:
    """Rows of captions whose video is searched: of those not trained on where enough, drawn by a fixed seed."""
    if not matcher.has_captions:
        return np.empty(0, np.int64)
    usable = _usable(matcher)
    unseen = usable & ~matcher.trained_on()
    return _drawn(np.flatnonzero(unseen if unseen.sum() >= LEAST_CAPTIONS else usable), MOST_CAPTIONS)


def _usable(matcher: Matcher) -> np.ndarray:
    return matcher.store.caption_video_ids.among(matcher.gallery.ids)


def _short(matcher: Matcher, captions: np.ndarray) -> Short | None:
    """From phrases of captions, by their rows; none where they hold too few."""
    texts, tagger = matcher.store.caption_texts.take(captions).tolist(), load_tagger()
    there = sorted({phrase for text in texts for phrase in phrases(text, tagger)})
    if len(there) < LEAST_PHRASES:
        return None
    chosen = [there[place] for place in _drawn(np.arange(len(there)), MOST_PHRASES)]
    encoded = matcher.encoded([" ".join(phrase) for phrase in chosen])
    sample = _drawn(np.arange(len(matcher.gallery)), SAMPLE)
    own = np.full((len(matcher.streams), len(chosen), MOST_OWN), -np.inf, np.float32)
    for place, rows in enumerate(_own_videos(matcher, chosen, captions)):
        own[:, place, : len(rows)] = matcher.pair_scores(encoded[:, [place]], rows)[:, 0]
    basis = (
        f"{counted(len(chosen), 'short phrase')} from captions: "
        f"{KEPT_SHORT_SHARE:.0%} of them have a video that stands out as much from the others"
    )
    length = float(np.quantile([length_of(split_words(text)) for text in texts], SHORT_CAPTION))
    return Short(own, matcher.pair_scores(encoded, sample), sample, max(length, LONGEST + 1), basis)


def _own_videos(matcher: Matcher, chosen: list[Phrase], captions: np.ndarray) -> list[np.ndarray]:
    """Of each phrase rows of videos that have a caption with it: at least those of the captions that it is from."""
    store = matcher.store
    read = np.union1d(captions, _drawn(np.flatnonzero(_usable(matcher)), MOST_READ))
    stands = places(chosen, store.caption_texts.take(read).tolist())
    videos = [[matcher.row_of(store.caption_video_ids[read[place]]) for place in stands[phrase]] for phrase in chosen]
    return [_drawn(np.unique(rows).astype(np.int64), MOST_OWN) for rows in videos]


def _drawn(rows: np.ndarray, most: int) -> np.ndarray:
    """At most so many, by a fixed seed, in their order."""
    return np.sort(np.random.default_rng(0).choice(rows, min(most, len(rows)), replace=False))
