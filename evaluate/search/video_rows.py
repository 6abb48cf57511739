"""Which row of the gallery an id is, and what to tell a user whose id is none of them."""

from __future__ import annotations

from ...pipeline.captions.names import without_suffix
from ...pipeline.errors import CamoeError
from ...pipeline.store import FeatureStore
from .gallery import Gallery


class VideoRows:
    """The ids of the videos that are searched, which may be only some of the store's."""

    def __init__(self, gallery: Gallery, store: FeatureStore) -> None:
        self._row = {video_id: row for row, video_id in enumerate(gallery.ids)}
        self._store = store

    def __contains__(self, video_id: str) -> bool:
        return video_id in self._row

    def find(self, video_id: str) -> int | None:
        """The row of a video; none where it is not searched."""
        return self._row.get(video_id)

    def of(self, video_id: str) -> int:
        """The row of a video; raises `CamoeError` where it is not searched."""
        if video_id not in self._row:
            raise CamoeError(
                f"there is no video {video_id!r} among the {len(self._row)} that are searched" + self.hint(video_id)
            )
        return self._row[video_id]

    def hint(self, video_id: str) -> str:
        """What may be meant by an id that is not searched: the end of a sentence, or nothing."""
        if (bare := without_suffix(video_id)) in self._row:
            return f"; the id is {bare!r}"
        if video_id in self._store.video_ids:
            return "; it is in the store, but not in the subset that is searched: leave --subset out"
        if (failure := self._store.failures.get(video_id)) is not None:
            return f"; it could not be extracted: {failure.reason}"
        return ""
