"""What a store that is being made holds already."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from .reader import FeatureStore
from .safe_open import decode_strings
from .schema import FAILED, CaptionKey, Failure, TextName
from .strings import Strings


@dataclass(frozen=True)
class Source:
    """The file that a video's frames came from: its size in bytes, mtime in seconds, and fingerprint (may be empty)."""

    size: int
    mtime: float
    fingerprint: str


class Sources(Mapping[str, Source]):
    """The source of each video, by its id, as columns."""

    def __init__(self, ids: Strings, sizes: np.ndarray, mtimes: np.ndarray, fingerprints: np.ndarray) -> None:
        self._ids = ids
        self._columns = sizes, mtimes, fingerprints

    def __getitem__(self, video_id: str) -> Source:
        return self._at(self._row_of[video_id])

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)

    def of(self, video_ids: Sequence[str]) -> Iterator[Source | None]:
        """Those of many videos, in their order, `None` where there is none."""
        for row in self._ids.find(video_ids).tolist():
            yield self._at(row) if row >= 0 else None

    def _at(self, row: int) -> Source:
        sizes, mtimes, fingerprints = self._columns
        return Source(int(sizes[row]), float(mtimes[row]), decode_strings(fingerprints[row : row + 1])[0])

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {video_id: row for row, video_id in enumerate(self._ids)}


@dataclass(frozen=True)
class Inventory:
    """`videos` have frames; `failures` are those that stand."""

    videos: Sources = field(
        default_factory=lambda: Sources(Strings.of([]), np.zeros(0, np.int64), np.zeros(0), np.zeros(0, "S1"))
    )
    failures: Mapping[str, Failure] = field(default_factory=dict)
    store: FeatureStore | None = None

    @classmethod
    def of(cls, store: FeatureStore) -> Inventory:
        if not len(store.video_ids):
            return cls(failures=store.failures, store=store)
        columns = (store.video_column(name) for name in ("source_size", "source_mtime", "fingerprint"))
        return cls(Sources(store.video_ids, *columns), store.failures, store)

    @property
    def failed(self) -> set[str]:
        """Videos from which nothing could be decoded."""
        return {failure.id for failure in self.failures.values() if failure.stage == FAILED}

    def has_texts(self, name: TextName, caption: CaptionKey) -> bool:
        """Whether the store has this strategy and stream of a caption."""
        if self.store is None or name not in (held := self.store.captions_with_texts()):
            return False
        return caption in self._row_of_caption and bool(held[name][self._row_of_caption[caption]])

    @cached_property
    def _row_of_caption(self) -> dict[CaptionKey, int]:
        assert self.store is not None
        keys = zip(self.store.caption_video_ids, self.store.caption_ids, strict=True)
        return {key: row for row, key in enumerate(keys)}
