"""Queries as the page shows them: what was asked, what was found, which frame matched best."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from ...pipeline.reranking.table import turned
from ..names import NONE
from .choose import Chosen, best_items, choose_queries
from .material import Material
from .pictures import Frame, Pictures
from .words import read_words

TOP = 5
KINDS = (
    ("worst", "The worst", "those whose right answer ranks lowest"),
    ("luckiest", "The luckiest", "right by the smallest margin: the right answer scores barely above the next"),
    ("sample", "A fair sample", "drawn at random from all queries"),
)


@dataclass(frozen=True)
class Caption:
    """A caption, and by masked stream its pieces and whether each was read; `videos` above 1 is how many it is on."""

    text: str
    id: str
    readings: list[tuple[str, list[tuple[str, bool]]]] = field(default_factory=list)
    videos: int = 1


@dataclass(frozen=True)
class Found:
    """What was found, `rank` from 1: a video by its best frame, or a caption."""

    rank: int
    score: float
    own: bool
    video_id: str
    frame: Frame
    caption: Caption | None = None


@dataclass(frozen=True)
class Example:
    """One query. `ranks` are `(re-ranking, rank)`; `strip` are the frames of its own video with each one's score."""

    query: Caption | None
    video_id: str
    ranks: list[tuple[str, int]]
    strip: list[tuple[Frame, float, bool]]
    found: list[Found]
    own_score: float


@dataclass(frozen=True)
class Group:
    """Examples of one kind."""

    name: str
    title: str
    says: str
    examples: list[Example]


def caption_view(material: Material, row: int) -> Caption:
    """A caption of the queries as the page shows it."""
    readings = [
        (stream, read_words(material.captions[row], sentences[row], strategy))
        for stream, (strategy, sentences) in material.sentences.items()
    ]
    return Caption(
        material.captions[row], material.ranked.queries.caption_ids[row], readings, material.ambiguous.get(row, 1)
    )


def text_examples(material: Material, pictures: Pictures) -> list[Group]:
    """Text to video."""
    return _groups(_choose(material, "t2v"), lambda row: _text_example(material, pictures, row))


def _text_example(material: Material, pictures: Pictures, row: int) -> Example:
    own, scores = int(material.owner[row]), _scores_of(material, row, "t2v")
    best = best_items(scores, TOP).tolist()
    ids = [material.video_ids[column] for column in [own, *best]]
    frames = frame_scores(material, row, ids)
    found = [
        Found(
            rank,
            float(scores[column]),
            column == own,
            video_id,
            _best_frame(material, pictures, video_id, values),
        )
        for rank, (column, video_id, values) in enumerate(zip(best, ids[1:], frames[1:], strict=True), 1)
    ]
    ranks = [(name, int(ranks.t2v[row])) for name, ranks in material.ranked.ranks.items()]
    strip = _strip(material, pictures, ids[0], frames[0])
    return Example(caption_view(material, row), ids[0], ranks, strip, found, float(scores[own]))


def video_examples(material: Material, pictures: Pictures) -> list[Group]:
    """Video to text."""
    return _groups(_choose(material, "v2t"), lambda row: _video_example(material, pictures, row))


def _video_example(material: Material, pictures: Pictures, row: int) -> Example:
    video_id, scores = material.video_ids[row], _scores_of(material, row, "v2t")
    captions = np.flatnonzero(material.owner == row)
    own = int(captions[np.argmax(scores[captions])])
    found = []
    for rank, caption in enumerate(best_items(scores, TOP).tolist(), 1):
        values = frame_scores(material, caption, [video_id])[0]
        frame = _best_frame(material, pictures, video_id, values)
        is_own = int(material.owner[caption]) == row
        found.append(Found(rank, float(scores[caption]), is_own, video_id, frame, caption_view(material, caption)))
    ranks = [(name, int(ranks.v2t[row])) for name, ranks in material.ranked.ranks.items()]
    strip = _strip(material, pictures, video_id, frame_scores(material, own, [video_id])[0])
    return Example(caption_view(material, own), video_id, ranks, strip, found, float(scores[own]))


def frame_scores(material: Material, row: int, video_ids: list[str]) -> np.ndarray:
    """`(R, T)`: a caption of the queries against single frames of videos, NaN where there is no frame."""
    searcher = material.searcher
    places = [searcher.row_of(video_id) for video_id in video_ids]
    return searcher.mix(searcher.frame_scores(searcher.caption_query(material.rows[row]), places))


def _best_frame(material: Material, pictures: Pictures, video_id: str, values: np.ndarray) -> Frame:
    return pictures.frame(video_id, _order(material, pictures, video_id)[int(np.nanargmax(values))])


def _strip(
    material: Material, pictures: Pictures, video_id: str, values: np.ndarray
) -> list[tuple[Frame, float, bool]]:
    """A video's frames as time goes, each with its score, and whether it is the best."""
    order, best = _order(material, pictures, video_id), int(np.nanargmax(values))
    shown = [(pictures.frame(video_id, place), float(values[seen]), seen == best) for seen, place in enumerate(order)]
    return sorted(shown, key=lambda item: item[0].place)


def _order(material: Material, pictures: Pictures, video_id: str) -> list[int]:
    """Where in the store each frame lies that the model saw: in order, unless the run shuffles frames."""
    count = pictures.frame_count(video_id)
    if not material.subject.run.config.shuffle_frames:
        return list(range(count))
    gallery, row = material.searcher.gallery, material.searcher.row_of(video_id)
    return np.argsort(np.argsort(gallery.times_s[row, :count], kind="stable"), kind="stable").tolist()


def _scores_of(material: Material, row: int, direction: str) -> np.ndarray:
    """`(G,)`: one query against all."""
    return turned(material.scores, direction).block(slice(row, row + 1))[0].cpu().numpy()


def _choose(material: Material, direction: str) -> Chosen:
    config, margins = material.config, material.surveys[direction].margins
    return choose_queries(material.ranked.ranks[NONE][direction], margins, config.examples, config.seed)


def _groups(chosen: Chosen, make: Callable[[int], Example]) -> list[Group]:
    rows: dict[str, Iterable[int]] = {name: getattr(chosen, name) for name, _, _ in KINDS}
    return [Group(name, title, says, [make(row) for row in rows[name]]) for name, title, says in KINDS]
