"""Several shards as one: their settings, captions and texts joined, or refused where they contradict each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path

import numpy as np

from .safe_open import StoreError
from .schema import UNUSED, Captions, StoreSettings, TextName, TextTable
from .shard import ShardIndex, read_captions, read_text_table, text_table_shape

_JOINED = ("strategies", "streams", "captions_sha256")
"""Settings of which shards hold parts; of the others, all shards that state one state the same."""


def joined_settings(shards: Sequence[ShardIndex]) -> StoreSettings:
    """What the shards state together; a field is compared with the first shard that states it."""
    merged = shards[0].settings
    stated: dict[str, Path] = {}
    for shard in shards:
        for item in fields(StoreSettings):
            if getattr(shard.settings, item.name) is not None:
                stated.setdefault(item.name, shard.path)
        differences = merged.differences(shard.settings, ("in the first", "in the second"), ignore=_JOINED)
        if differences:
            first = stated[differences[0].split(" ", 1)[0]]
            raise StoreError(f"{first} and {shard.path} were made with different settings: {'; '.join(differences)}")
        merged = _with_missing(merged, shard.settings)
    return merged


def _with_missing(settings: StoreSettings, more: StoreSettings) -> StoreSettings:
    """`settings`, what it lacks from `more`, and the streams and strategies of both."""
    values = {item.name: getattr(settings, item.name) for item in fields(StoreSettings)}
    for name, value in values.items():
        if value is None:
            values[name] = getattr(more, name)
    if settings.streams is not None and more.streams is not None:
        for name in set(settings.streams) & set(more.streams):
            if settings.streams[name] != more.streams[name]:
                raise StoreError(
                    f"stream {name!r} means {settings.streams[name]} in one shard and {more.streams[name]} in another"
                )
        values["streams"] = {**settings.streams, **more.streams}
    if settings.strategies is not None and more.strategies is not None:
        values["strategies"] = tuple(dict.fromkeys(settings.strategies + more.strategies))
    return StoreSettings(**values)


@dataclass(frozen=True)
class JoinedCaptions:
    """Captions of several shards as one sorted table; a caption may recur where shards hold different texts of it."""

    captions: Captions
    position: dict[Path, np.ndarray]
    """Per shard, the place of each of its captions in the joined table."""
    text_names: dict[Path, list[TextName]]

    @classmethod
    def read(cls, shards: Sequence[ShardIndex]) -> JoinedCaptions:
        names = {shard.path: shard.text_names for shard in shards}
        parts = {shard.path: read_captions(shard.path) for shard in shards}
        if len(parts) == 1:
            ((path, part),) = parts.items()
            if all(one < next_ for one, next_ in pairwise(zip(part.video_id, part.id, strict=True))):
                return cls(part, {path: np.arange(len(part.id))}, names)
        text_of: dict[tuple[str, str], str] = {}
        for path, part in parts.items():
            _refuse_doubles(path, part)
            for video_id, caption_id, text in zip(part.video_id, part.id, part.text, strict=True):
                if text_of.setdefault((video_id, caption_id), text) != text:
                    raise StoreError(
                        f"caption {caption_id!r} of video {video_id!r} reads differently in {path} and in another "
                        "shard; they were made from different caption files"
                    )
        keys = sorted(text_of)
        place = {key: index for index, key in enumerate(keys)}
        position = {
            path: np.array([place[key] for key in zip(part.video_id, part.id, strict=True)], np.int64)
            for path, part in parts.items()
        }
        protocols: dict[str, np.ndarray] = {}
        shortfall: dict[str, dict] = {}
        for path, part in parts.items():
            for name, codes in part.protocols.items():
                joined = protocols.setdefault(name, np.zeros(len(keys), np.uint8))
                there = joined[position[path]]
                if ((there != codes) & (there != UNUSED) & (codes != UNUSED)).any():
                    raise StoreError(f"protocol {name} puts a caption into another subset in {path} than elsewhere")
                joined[position[path]] = np.maximum(there, codes)
            shortfall |= part.shortfall
        captions = Captions(
            id=[caption_id for _, caption_id in keys],
            video_id=[video_id for video_id, _ in keys],
            text=[text_of[key] for key in keys],
            protocols=protocols,
            shortfall=shortfall,
        )
        return cls(captions, position, names)

    def join_table(self, name: TextName) -> TextTable:
        holders = [path for path, names in self.text_names.items() if name in names]
        row = np.full(len(self.captions.id), -1, np.int64)
        shapes = [text_table_shape(path, name) for path in holders]
        embedding = np.empty((sum(rows for rows, _ in shapes), shapes[0][1]), np.float16)
        place: dict[str, int] = {}
        for path, (rows, _) in zip(holders, shapes, strict=True):
            before = len(place)
            table = read_text_table(path, name, embedding[before : before + rows])
            if (row[self.position[path]] >= 0).any():
                raise StoreError(f"texts {'/'.join(name)} of a caption lie in {path} and in another shard; give one")
            if len(self.position) == 1:
                table.row[self.position[path]] = table.row.copy()
                return table
            joined = np.array([place.setdefault(text, len(place)) for text in table.sentence], np.int64)
            if len(place) - before < rows:
                embedding[joined[joined >= before]] = table.embedding[joined >= before]
            row[self.position[path]] = joined[table.row]
        if (row < 0).any():
            raise StoreError(
                f"{int((row < 0).sum())} of {len(row)} captions have no texts {'/'.join(name)} "
                f"(first: {self.captions.id[int(np.argmin(row))]!r}); run the same camoe-extract command again"
            )
        return TextTable(list(place), embedding[: len(place)], row)


def _refuse_doubles(path: Path, captions: Captions) -> None:
    keys = list(zip(captions.video_id, captions.id, strict=True))
    if len(set(keys)) == len(keys):
        return
    seen: set[tuple[str, str]] = set()
    video_id, caption_id = next(key for key in keys if key in seen or seen.add(key))  # type: ignore[func-returns-value]
    raise StoreError(f"{path}: video {video_id!r} has two captions {caption_id!r}; the file is not a sound store")
