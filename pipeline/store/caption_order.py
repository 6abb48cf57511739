"""Captions of several shards in one order, by video and id, and which of them are the same caption."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .shard import CaptionKeys
from .strings import CodedStrings, Strings


@dataclass(frozen=True)
class Arrangement:
    """`K` captions, counted through the shards, as `M` that are distinct and sorted by (video, id).

    `videos` are those of the `M`. `order (K,)` sorts the captions, those that are the same as they stand, and
    `is_new (K,)` tells which are the first of their kind in that order; both are none where they stand sorted and none
    recurs.
    """

    videos: CodedStrings
    order: np.ndarray | None = None
    is_new: np.ndarray | None = None

    @property
    def recurs(self) -> bool:
        """Whether any caption stands in several places."""
        return self.is_new is not None and not bool(self.is_new.all())

    @property
    def first(self) -> np.ndarray | None:
        """`(M,)` int64: where each stands first; none for where it is sorted."""
        return None if self.order is None else self.order[self.is_new]

    def position(self, start: int, end: int) -> np.ndarray | slice:
        """The rows, among the `M`, of those that are counted from `start` to `end`."""
        return slice(start, end) if self.order is None else self._rows[start:end]

    @cached_property
    def _rows(self) -> np.ndarray:
        assert self.order is not None
        assert self.is_new is not None
        rows = np.empty(len(self.order), np.int64)
        rows[self.order] = np.cumsum(self.is_new) - 1
        return rows

    def first_double(self, ends: np.ndarray) -> int | None:
        """The first that stands twice in one shard, by its second place; shard `n` has those up to `ends[n + 1]`."""
        if self.order is None or self.is_new is None or not self.recurs:
            return None
        shard = np.searchsorted(ends, self.order, "right")
        twice = ~self.is_new[1:] & (shard[1:] == shard[:-1])
        return int(self.order[1:][twice].min()) if twice.any() else None


def arrange(parts: Sequence[CaptionKeys]) -> Arrangement:
    """The captions of some shards, sorted.

    Their ids are compared only where that is needed: for videos whose captions lie in several shards, or do not stand
    sorted in theirs.
    """
    videos, ranks = _united_videos([part.video_id for part in parts])
    codes = np.concatenate([np.empty(0, np.int32), *(r[p.video_id.codes] for r, p in zip(ranks, parts, strict=True))])
    is_open = _open_videos(len(videos), ranks, parts)
    if not is_open.any() and (codes[1:] >= codes[:-1]).all():
        return Arrangement(CodedStrings(videos, codes))
    order = np.argsort(codes, kind="stable")
    codes = codes[order]
    is_new = np.ones(len(order), bool)
    rows = np.flatnonzero(is_open[codes])
    order[rows], is_new[rows] = _by_id(parts, order[rows], codes[rows])
    if is_new.all() and (order[1:] > order[:-1]).all():
        return Arrangement(CodedStrings(videos, codes))
    return Arrangement(CodedStrings(videos, codes if is_new.all() else codes[is_new]), order, is_new)


def _open_videos(count: int, ranks: Sequence[np.ndarray], parts: Sequence[CaptionKeys]) -> np.ndarray:
    """`(count,)` bool: the videos whose captions are not in one shard, sorted."""
    in_shards = np.zeros(count, np.int32)
    is_open = np.zeros(count, bool)
    for mine, part in zip(ranks, parts, strict=True):
        in_shards[mine] += 1
        is_open[mine] |= not part.ascend
    return is_open | (in_shards > 1)


def _by_id(parts: Sequence[CaptionKeys], rows: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Some captions, given by `rows` that are sorted by the `codes` of their videos, sorted by id within each video;
    and which of them are the first of their kind."""
    found = _ids_of(parts, rows)
    same = codes[1:] == codes[:-1]
    unsorted = np.zeros(int(codes.max(initial=-1)) + 1, bool)
    unsorted[codes[1:][same & ~_is_less(found)]] = True
    if unsorted.any():
        mixed = np.flatnonzero(unsorted[codes])
        table = pa.table({"video": codes[mixed], "id": found.take(mixed).values})
        inner = pc.sort_indices(table, sort_keys=[("video", "ascending"), ("id", "ascending")]).to_numpy()
        place = np.arange(len(rows))
        place[mixed] = mixed[inner]
        rows, found = rows[place], found.take(place)
    equal = np.asarray(pc.equal(found.values[1:], found.values[:-1])) if len(found) > 1 else np.zeros(0, bool)
    return rows, np.concatenate([np.ones(min(1, len(rows)), bool), ~(same & equal)])


def _ids_of(parts: Sequence[CaptionKeys], rows: np.ndarray) -> Strings:
    """Ids of captions that are counted through the parts, in the order of `rows`."""
    ends = np.cumsum([0, *(len(part.id) for part in parts)])
    ascending = np.sort(rows)
    cuts = np.searchsorted(ascending, ends)
    found = Strings.joined(
        [
            part.id.take(ascending[cut:end] - start)
            for part, start, cut, end in zip(parts, ends, cuts, cuts[1:], strict=False)
            if end > cut
        ]
    )
    return found if (rows == ascending).all() else found.take(np.searchsorted(ascending, rows))


def _united_videos(parts: Sequence[CodedStrings]) -> tuple[Strings, list[np.ndarray]]:
    """The distinct videos, sorted, and where among them those of each part are, int32."""
    joined = Strings.joined([part.distinct for part in parts])
    if joined.ascend:
        videos, ranks = joined, np.arange(len(joined), dtype=np.int32)
    else:
        distinct = Strings(pc.unique(joined.values))
        videos = distinct.take(distinct.order())
        ranks = videos.find(joined).astype(np.int32)
    ends = np.cumsum([0, *(len(part.distinct) for part in parts)]).tolist()
    return videos, [ranks[start:end] for start, end in pairwise(ends)]


def _is_less(texts: Strings) -> np.ndarray:
    """`(N - 1,)` bool: which texts are less than the next."""
    return np.asarray(pc.less(texts.values[:-1], texts.values[1:])) if len(texts) > 1 else np.zeros(0, bool)
