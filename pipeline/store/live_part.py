"""The captions of one shard that still count: where they lie in it, and where they stand among those of the store."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .schema import CaptionKey, Captions, TextName, TextTable
from .shard import CaptionKeys, ShardIndex, read_caption_keys, read_captions, read_text_table
from .strings import CodedStrings, take_texts


@dataclass(frozen=True)
class LivePart:
    """One shard's captions that still count, `count` of them.

    `rows` are their places in the shard, which has `whole` captions, `position` those in the union; either may be a
    slice.
    """

    shard: ShardIndex
    protocols: dict[str, np.ndarray]
    count: int
    whole: int
    rows: np.ndarray | slice
    position: np.ndarray | slice

    @property
    def is_whole(self) -> bool:
        return self.count == self.whole

    def places(self) -> np.ndarray:
        """`position` as rows."""
        return np.arange(self.position.start, self.position.stop) if isinstance(self.position, slice) else self.position

    def in_shard(self, rows: np.ndarray) -> np.ndarray:
        """Places in the shard of some of the captions that count."""
        return rows if isinstance(self.rows, slice) else self.rows[rows]

    def captions(self) -> Captions:
        """The captions that count, with their texts."""
        captions = read_captions(self.shard.path)
        return captions if self.is_whole else caption_rows(captions, np.arange(self.whole)[self.rows])

    def read_table(self, name: TextName, room: np.ndarray | None = None) -> TextTable:
        """The shard's texts of the captions that still count."""
        table = read_text_table(self.shard.path, name, room)
        return table if self.is_whole else TextTable(table.sentence, table.embedding, table.row[self.rows])

    def find(self, captions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which of some captions, given by ascending rows of the union, lie in here, and their places among those that
        count."""
        if isinstance(self.position, slice):
            first, end = np.searchsorted(captions, [self.position.start, self.position.stop])
            return np.arange(first, end), captions[first:end] - self.position.start
        begins, ends = (np.searchsorted(captions, self.position, side) for side in ("left", "right"))
        there = np.flatnonzero(ends > begins)
        many = (ends - begins)[there]
        wanted = np.repeat(begins[there] - (np.cumsum(many) - many), many) + np.arange(int(many.sum()))
        return wanted, np.repeat(there, many)


def live_part(shard: ShardIndex, removed: frozenset[CaptionKey]) -> tuple[LivePart, CaptionKeys]:
    """A shard without the captions that are `removed` from it, not yet placed, and what names those that count."""
    keys = read_caption_keys(shard.path)
    whole = len(keys.id)
    rows: np.ndarray | slice = slice(0, whole)
    if removed:
        touched = keys.video_id.among([video_id for video_id, _ in removed])
        lost = [row for row in np.flatnonzero(touched).tolist() if (keys.video_id[row], keys.id[row]) in removed]
        if lost:
            rows = np.delete(np.arange(whole), lost)
            protocols = {name: codes[rows] for name, codes in keys.protocols.items()}
            videos = CodedStrings(keys.video_id.distinct, keys.video_id.codes[rows])
            keys = replace(keys, id=keys.id.take(rows), video_id=videos, protocols=protocols)
    return LivePart(shard, keys.protocols, len(keys.id), whole, rows, slice(0, 0)), keys


def caption_rows(captions: Captions, rows: np.ndarray) -> Captions:
    """Some of the captions, by their rows."""
    return Captions(
        id=take_texts(captions.id, rows),
        video_id=take_texts(captions.video_id, rows),
        text=take_texts(captions.text, rows),
        protocols={name: codes[rows] for name, codes in captions.protocols.items()},
        shortfall=captions.shortfall,
    )
