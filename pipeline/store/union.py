"""Several shards read as one: their settings, captions and texts, or a refusal where they contradict each other."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from ..wording import counted
from .content import table_sum, tokens_sum
from .resolve import by_order, removed_captions
from .safe_open import StoreError
from .schema import (
    UNUSED,
    WORD_TOKENS,
    CaptionKey,
    Captions,
    StoreSettings,
    TextName,
    TextTable,
    unite_precisions,
)
from .shard import ShardIndex, read_captions, read_sentences, read_text_table, text_table_shape
from .tokens import StoredTokens, TokenPart, find_tokens, read_tokens, unite_tokens

_UNITED = ("strategies", "streams", "captions_sha256")
"""Settings of which shards hold parts; of the others, all shards that state one state the same."""


def united_settings(shards: Sequence[ShardIndex]) -> StoreSettings:
    """What the shards state together; a field is compared with the first shard that states it."""
    united = shards[0].settings
    stated: dict[str, Path] = {}
    for shard in shards:
        for item in fields(StoreSettings):
            if getattr(shard.settings, item.name) is not None:
                stated.setdefault(item.name, shard.path)
        differences = united.differences(shard.settings, ("in the first", "in the second"), ignore=_UNITED)
        if differences:
            first = stated[differences[0].split(" ", 1)[0]]
            raise StoreError(f"{first} and {shard.path} were made with different settings: {'; '.join(differences)}")
        united = _with_missing(united, shard.settings)
    latest = [shard.settings.captions_sha256 for shard in by_order(shards) if shard.settings.captions_sha256]
    return replace(united, captions_sha256=latest[-1]) if latest else united


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
    values["precision"] = unite_precisions(settings.precision, more.precision)
    if settings.strategies is not None and more.strategies is not None:
        values["strategies"] = tuple(dict.fromkeys(settings.strategies + more.strategies))
    return StoreSettings(**values)


@dataclass(frozen=True)
class _Part:
    """One shard's captions that still count; `rows` are their places in the shard, `position` those in the union."""

    shard: ShardIndex
    captions: Captions
    rows: np.ndarray
    is_whole: bool
    position: np.ndarray

    def read_table(self, name: TextName, room: np.ndarray | None = None) -> TextTable:
        """The shard's texts of the captions that still count."""
        table = read_text_table(self.shard.path, name, room)
        return table if self.is_whole else TextTable(table.sentence, table.embedding, table.row[self.rows])


@dataclass(frozen=True)
class TextPlaces:
    """Where the embeddings of `U` distinct sentences lie: row `rows (U,)` of the file `paths[files (U,)]`.

    `row (M,)` is each caption's sentence; all int64. `name` is the strategy and stream.
    """

    name: TextName
    paths: list[Path]
    files: np.ndarray
    rows: np.ndarray
    row: np.ndarray


@dataclass(frozen=True)
class UnitedCaptions:
    """Captions of several shards as one sorted table; a caption may recur where shards hold different texts of it."""

    captions: Captions
    parts: list[_Part]

    @classmethod
    def read(cls, shards: Sequence[ShardIndex]) -> UnitedCaptions:
        removed = removed_captions(shards)
        found = [
            _live_part(shard, removed.get(shard.path, frozenset()))
            for shard in by_order(shards)
            if shard.kind != "frames"
        ]
        if len(found) == 1 and _is_sorted(found[0].captions):
            part = replace(found[0], position=np.arange(len(found[0].rows)))
            return cls(part.captions, [part])
        text_of = _texts_by_key(found)
        keys = sorted(text_of)
        place = {key: index for index, key in enumerate(keys)}
        parts = [
            replace(part, position=np.array([place[key] for key in _keys(part.captions)], np.int64)) for part in found
        ]
        captions = Captions(
            id=[caption_id for _, caption_id in keys],
            video_id=[video_id for video_id, _ in keys],
            text=[text_of[key] for key in keys],
            protocols=_united_protocols(parts, len(keys)),
            shortfall={name: lack for part in parts for name, lack in part.captions.shortfall.items()},
        )
        return cls(captions, parts)

    def table(self, name: TextName) -> TextTable:
        """One strategy and stream, a row for each caption; raises `StoreError` where a caption has none or two."""
        holders = [part for part in self.parts if name in part.shard.text_names]
        row = np.full(len(self.captions.id), -1, np.int64)
        shapes = [text_table_shape(part.shard.path, name) for part in holders]
        embedding = np.empty((sum(rows for rows, _ in shapes), shapes[0][1]), np.float16)
        place: dict[str, int] = {}
        for part, (rows, _) in zip(holders, shapes, strict=True):
            before = len(place)
            table = part.read_table(name, embedding[before : before + rows])
            self._refuse_second(name, part, row)
            if len(self.parts) == 1 and part.is_whole:
                table.row[part.position] = table.row.copy()
                return table
            united = np.array([place.setdefault(text, len(place)) for text in table.sentence], np.int64)
            if len(place) - before < rows:
                embedding[united[united >= before]] = table.embedding[united >= before]
            row[part.position] = united[table.row]
        self._refuse_without(name, row)
        table = TextTable(list(place), embedding[: len(place)], row)
        return table if all(part.is_whole for part in holders) else _without_unused(table)

    def places(self, name: TextName) -> TextPlaces:
        """Where the embeddings of a strategy and stream lie; raises `StoreError` as `table`."""
        holders = [part for part in self.parts if name in part.shard.text_names]
        row = np.full(len(self.captions.id), -1, np.int64)
        place: dict[str, int] = {}
        files, rows = [], []
        for number, part in enumerate(holders):
            sentence, mine = read_sentences(part.shard.path, name)
            self._refuse_second(name, part, row)
            before = len(place)
            if len(self.parts) == 1 and part.is_whole:  # as it stands, as `table` takes it
                row[part.position] = mine
                rows.append(np.arange(len(sentence)))
                files.append(np.zeros(len(sentence), np.int64))
                break
            united = np.array([place.setdefault(text, len(place)) for text in sentence], np.int64)
            last = np.full(len(place), -1, np.int64)
            last[united] = np.arange(len(united))
            rows.append(last[before:])
            files.append(np.full(len(place) - before, number, np.int64))
            row[part.position] = united[mine[part.rows]]
        self._refuse_without(name, row)
        paths = [part.shard.path for part in holders]
        return TextPlaces(name, paths, np.concatenate(files), np.concatenate(rows), row)

    def _refuse_second(self, name: TextName, part: _Part, row: np.ndarray) -> None:
        if (row[part.position] >= 0).any():
            raise StoreError(
                f"texts {'/'.join(name)} of a caption lie in {part.shard.path} and in another shard; give one"
            )

    def _refuse_without(self, name: TextName, row: np.ndarray) -> None:
        if (row < 0).any():
            raise StoreError(
                f"{int((row < 0).sum())} of {counted(len(row), 'caption')} lack the texts {'/'.join(name)} "
                f"(first: {self.captions.id[int(np.argmin(row))]!r}); run the same camoe-extract command again"
            )

    def find_sentences(self, name: TextName, wanted: Container[str]) -> dict[str, np.ndarray]:
        """The embeddings `(D,)` float16 of those of the `wanted` sentences that some shard holds."""
        found: dict[str, np.ndarray] = {}
        for part in self.parts:
            if name in part.shard.text_names:
                table = read_text_table(part.shard.path, name)
                rows = [row for row, text in enumerate(table.sentence) if text in wanted and text not in found]
                found |= {table.sentence[row]: table.embedding[row].copy() for row in rows}
        return found

    def tokens(self, remedy: str) -> StoredTokens:
        """The word tokens of all captions; raises `StoreError`, naming the `remedy`, where a caption has none."""
        parts = [TokenPart(part.shard, part.rows, part.position) for part in self.parts if part.shard.has_tokens]
        return unite_tokens(parts, _keys(self.captions), remedy)

    def find_tokens(self, wanted: Container[str]) -> dict[str, np.ndarray]:
        """The word tokens `(L, D)` float16 of those of the `wanted` sentences that some shard holds."""
        return find_tokens([part.shard.path for part in self.parts if part.shard.has_tokens], wanted)

    def table_sums(self) -> list[str]:
        """The content sums of each shard's texts and word tokens, counting only captions that still count."""
        tokens = [_live_tokens_sum(part) for part in self.parts if part.shard.has_tokens]
        return tokens + [
            part.shard.sums["/".join(name)] if part.is_whole else table_sum(part.captions, name, part.read_table(name))
            for part in self.parts
            for name in part.shard.text_names
        ]

    def holding(self) -> Mapping[TextName, set[CaptionKey]]:
        """Which captions there are texts of, by strategy and stream."""
        found: dict[TextName, set[CaptionKey]] = {}
        for part in self.parts:
            for name in [*part.shard.text_names, *([WORD_TOKENS] if part.shard.has_tokens else [])]:
                found.setdefault(name, set()).update(_keys(part.captions))
        return found


def _live_tokens_sum(part: _Part) -> str:
    if part.is_whole:
        return part.shard.sums["tokens"]
    tokens = read_tokens(part.shard.path)
    return tokens_sum(part.captions, replace(tokens, row=tokens.row[part.rows]))


def _keys(captions: Captions) -> list[CaptionKey]:
    return list(zip(captions.video_id, captions.id, strict=True))


def _is_sorted(captions: Captions) -> bool:
    return all(one < following for one, following in pairwise(_keys(captions)))


def _live_part(shard: ShardIndex, removed: frozenset[CaptionKey]) -> _Part:
    captions = read_captions(shard.path)
    _refuse_doubles(shard.path, captions)
    rows = np.array([row for row, key in enumerate(_keys(captions)) if key not in removed], np.int64)
    is_whole = len(rows) == len(captions.id)
    if not is_whole:
        captions = caption_rows(captions, rows)
    return _Part(shard, captions, rows, is_whole, np.empty(0, np.int64))


def caption_rows(captions: Captions, rows: np.ndarray) -> Captions:
    """Some of the captions, by their rows."""
    chosen = rows.tolist()
    return Captions(
        id=[captions.id[row] for row in chosen],
        video_id=[captions.video_id[row] for row in chosen],
        text=[captions.text[row] for row in chosen],
        protocols={name: codes[rows] for name, codes in captions.protocols.items()},
        shortfall=captions.shortfall,
    )


def _texts_by_key(parts: Sequence[_Part]) -> dict[CaptionKey, str]:
    text_of: dict[CaptionKey, str] = {}
    for part in parts:
        for key, text in zip(_keys(part.captions), part.captions.text, strict=True):
            if text_of.setdefault(key, text) != text:
                video_id, caption_id = key
                raise StoreError(
                    f"caption {caption_id!r} of video {video_id!r} reads differently in {part.shard.path} and in "
                    "another shard; they were made from different caption files"
                )
    return text_of


def _united_protocols(parts: Sequence[_Part], count: int) -> dict[str, np.ndarray]:
    protocols: dict[str, np.ndarray] = {}
    for part in parts:
        for name, codes in part.captions.protocols.items():
            united = protocols.setdefault(name, np.zeros(count, np.uint8))
            there = united[part.position]
            if ((there != codes) & (there != UNUSED) & (codes != UNUSED)).any():
                raise StoreError(
                    f"protocol {name} puts a caption into another subset in {part.shard.path} than elsewhere"
                )
            united[part.position] = np.maximum(there, codes)
    return protocols


def _without_unused(table: TextTable) -> TextTable:
    used, row = np.unique(table.row, return_inverse=True)
    return TextTable([table.sentence[place] for place in used.tolist()], table.embedding[used], row.astype(np.int64))


def _refuse_doubles(path: Path, captions: Captions) -> None:
    keys = _keys(captions)
    if len(set(keys)) == len(keys):
        return
    seen: set[CaptionKey] = set()
    video_id, caption_id = next(key for key in keys if key in seen or seen.add(key))  # type: ignore[func-returns-value]
    raise StoreError(f"{path}: video {video_id!r} has two captions {caption_id!r}; the file is not a sound store")
