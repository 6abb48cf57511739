"""What a store that is being made holds already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .reader import FeatureStore
from .safe_open import decode_strings
from .schema import FAILED, CaptionKey, Failure, TextName


@dataclass(frozen=True)
class Source:
    """The file that a video's frames came from: its size in bytes, mtime in seconds, and fingerprint (may be empty)."""

    size: int
    mtime: float
    fingerprint: str


@dataclass(frozen=True)
class Inventory:
    """`videos` have frames; `failures` are those that stand; `texts` tells which captions have which texts."""

    videos: Mapping[str, Source] = field(default_factory=dict)
    failures: Mapping[str, Failure] = field(default_factory=dict)
    texts: Mapping[TextName, set[CaptionKey]] = field(default_factory=dict)

    @classmethod
    def of(cls, store: FeatureStore) -> Inventory:
        return cls(_sources(store), store.failures, store.captions_with_texts())

    @property
    def failed(self) -> set[str]:
        """Videos from which nothing could be decoded."""
        return {failure.id for failure in self.failures.values() if failure.stage == FAILED}

    def has_texts(self, name: TextName, caption: CaptionKey) -> bool:
        """Whether the store has this strategy and stream of a caption."""
        return caption in self.texts.get(name, ())


def _sources(store: FeatureStore) -> dict[str, Source]:
    if not store.video_ids:
        return {}
    columns = zip(
        store.video_column("source_size").tolist(),
        store.video_column("source_mtime").tolist(),
        decode_strings(store.video_column("fingerprint")),
        strict=True,
    )
    return {video_id: Source(*values) for video_id, values in zip(store.video_ids, columns, strict=True)}
