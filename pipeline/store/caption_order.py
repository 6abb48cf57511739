"""Captions of several shards in one order, by video and id, and which of them are the same caption."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .shard import CaptionKeys
from .strings import CodedStrings, Strings


@dataclass(frozen=True)
class Arrangement:
    """`K` captions, counted through the shards, as `M` that are distinct and sorted by (video, id).

    `order (K,)` sorts them, those that are the same as they stand, and `is_new (K,)` tells which are the first of their
    kind in that order; both are none where they stand sorted and none recurs.
    """

    ids: Strings
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
    """The captions of some shards, sorted."""
    ids = Strings.joined([part.id for part in parts])
    videos, codes = _united_videos([part.video_id for part in parts])
    greater = _is_less(ids)
    if ((codes[1:] > codes[:-1]) | ((codes[1:] == codes[:-1]) & greater)).all():
        return Arrangement(ids, CodedStrings(videos, codes))
    order = np.argsort(codes, kind="stable")
    codes = codes[order]
    found = ids.take(order)
    same = codes[1:] == codes[:-1]
    unsorted = np.zeros(len(videos), bool)
    unsorted[codes[1:][same & ~_is_less(found)]] = True
    if unsorted.any():
        rows = np.flatnonzero(unsorted[codes])
        table = pa.table({"video": codes[rows], "id": found.take(rows).values})
        inner = pc.sort_indices(table, sort_keys=[("video", "ascending"), ("id", "ascending")]).to_numpy()
        order[rows] = order[rows[inner]]
        found = ids.take(order)
    equal = np.asarray(pc.equal(found.values[1:], found.values[:-1])) if len(found) > 1 else np.zeros(0, bool)
    is_new = np.concatenate([np.ones(min(1, len(order)), bool), ~(same & equal)])
    if is_new.all():
        return Arrangement(found, CodedStrings(videos, codes), order, is_new)
    return Arrangement(found.take(np.flatnonzero(is_new)), CodedStrings(videos, codes[is_new]), order, is_new)


def _united_videos(parts: Sequence[CodedStrings]) -> tuple[Strings, np.ndarray]:
    """The distinct videos, sorted, and that of every caption, `(K,)` int32."""
    joined = Strings.joined([part.distinct for part in parts])
    if joined.ascend:
        videos, ranks = joined, np.arange(len(joined), dtype=np.int32)
    else:
        distinct = Strings(pc.unique(joined.values))
        videos = distinct.take(distinct.order())
        ranks = videos.find(joined).astype(np.int32)
    ends = np.cumsum([0, *(len(part.distinct) for part in parts)]).tolist()
    codes = [ranks[start:end][part.codes] for part, start, end in zip(parts, ends, ends[1:], strict=False)]
    return videos, np.concatenate([np.empty(0, np.int32), *codes])


def _is_less(texts: Strings) -> np.ndarray:
    """`(N - 1,)` bool: which texts are less than the next."""
    return np.asarray(pc.less(texts.values[:-1], texts.values[1:])) if len(texts) > 1 else np.zeros(0, bool)
