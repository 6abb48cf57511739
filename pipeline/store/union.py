"""Several shards read as one: their settings, captions and texts, or a refusal where they contradict each other.

Videos and subsets of the captions are in memory, as columns; their ids and texts, and the sentences of tables, are
read when they are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path

import h5py
import numpy as np

from ..wording import counted
from .caption_order import Arrangement, arrange
from .content import add_sums, captions_sum, table_sum, tokens_sum
from .resolve import by_order, removed_captions
from .rows import StackedTexts, rows_of
from .safe_open import StoreError, open_hdf5
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
from .sentence_index import SentenceIndex
from .shard import (
    CaptionKeys,
    OpenTable,
    ShardIndex,
    caption_ids,
    caption_texts,
    open_table,
    read_caption_keys,
    read_captions,
    read_text_table,
    text_table_shape,
)
from .strings import CodedStrings, StoredStrings, Strings, take_texts
from .text_hash import first_of_each, text_hashes
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
    """Captions of several shards as one sorted table; a caption may recur where shards hold different texts of it.

    `first` is none where none recurs and all stand in order; else it tells where each caption stands first, counted
    through the parts.
    """

    captions: Captions
    parts: list[_Part]
    first: np.ndarray | None
    recurs: bool
    _sentences: dict[TextName, SentenceIndex] = field(default_factory=dict)

    @classmethod
    def read(cls, shards: Sequence[ShardIndex]) -> UnitedCaptions:
        removed = removed_captions(shards)
        found = [
            _live_part(shard, removed.get(shard.path, frozenset()))
            for shard in by_order(shards)
            if shard.kind != "frames"
        ]
        shortfall = {name: lack for _, keys in found for name, lack in keys.shortfall.items()}
        ends = np.cumsum([0, *(part.count for part, _ in found)])
        arranged = arrange([keys for _, keys in found])
        _refuse_doubles(found, arranged, ends)
        parts = [
            replace(part, position=arranged.position(int(start), int(end)))
            for (part, _), start, end in zip(found, ends[:-1], ends[1:], strict=True)
        ]
        del found
        count = len(arranged.videos)
        captions = Captions(
            id=StoredStrings(count, _stacked(caption_ids, parts, arranged.first, ends)),
            video_id=arranged.videos,
            text=StoredStrings(count, _stacked(caption_texts, parts, arranged.first, ends)),
            protocols=_united_protocols(parts, count),
            shortfall=shortfall,
        )
        if arranged.recurs:
            _refuse_different_texts(parts, captions)
        return cls(captions, parts, arranged.first, arranged.recurs)

    @property
    def videos(self) -> CodedStrings:
        """The video of each caption."""
        assert isinstance(self.captions.video_id, CodedStrings)
        return self.captions.video_id

    def table(self, name: TextName) -> TextTable:
        """One strategy and stream, a row for each caption; raises `StoreError` where a caption has none or two."""
        holders = self._holders(name)
        row = np.full(len(self.captions.id), -1, np.int64)
        shapes = [text_table_shape(part.shard.path, name) for part in holders]
        starts = np.cumsum([0, *(rows for rows, _ in shapes)])
        embedding = np.empty((int(starts[-1]), shapes[0][1]), np.float16)
        hashes = np.empty((2, len(embedding)), np.uint64)
        for part, start, end in zip(holders, starts.tolist(), starts[1:].tolist(), strict=False):
            table = part.read_table(name, embedding[start:end])
            if (row[part.position] >= 0).any():
                raise _in_two(name, part)
            row[part.position] = start + table.row
            if len(self.parts) == 1 and part.is_whole:
                return TextTable(table.sentence, embedding, row)
            with open_hdf5(part.shard.path) as file:
                hashes[:, start:end] = text_hashes(open_table(file, name).sentence[()])
        if (row < 0).any():
            raise _in_none(name, row, self.captions.id)
        first, row = _distinct(holders, hashes, row)
        return _united_table(name, holders, starts, embedding, first, row)

    def places(self, name: TextName) -> TextPlaces:
        """Where the embeddings of a strategy and stream lie; raises `StoreError` as `table`."""
        holders = self._holders(name)
        row = np.full(len(self.captions.id), -1, np.int64)
        hashes, starts = [np.empty((2, 0), np.uint64)], [0]
        for part in holders:
            with open_hdf5(part.shard.path) as file:
                table = open_table(file, name)
                mine: np.ndarray = table.row[()]
                hashes.append(text_hashes(table.sentence[()]))
                _check_rows(table, mine)
            if (row[part.position] >= 0).any():
                raise _in_two(name, part)
            row[part.position] = starts[-1] + mine[part.rows]
            starts.append(starts[-1] + hashes[-1].shape[1])
        if (row < 0).any():
            raise _in_none(name, row, self.captions.id)
        first = np.arange(starts[-1])
        if not (len(self.parts) == 1 and holders[0].is_whole):  # as it stands, as `table` takes it
            first, row = _distinct(holders, np.concatenate(hashes, axis=1), row)
        files = np.searchsorted(starts, first, "right") - 1
        paths = [part.shard.path for part in holders]
        return TextPlaces(name, paths, files, first - np.array(starts)[files], row)

    def table_of(self, name: TextName, captions: np.ndarray) -> TextTable:
        """`table` of some captions, by their rows; nothing else is read."""
        row = np.full(len(captions), -1, np.int64)
        place: dict[str, int] = {}
        embeddings: list[np.ndarray] = []
        order = np.argsort(captions, kind="stable")
        for part in self._holders(name):
            wanted, there = part_rows(part, captions[order])
            if not len(wanted):
                continue
            wanted = order[wanted]
            if (row[wanted] >= 0).any():
                raise _in_two(name, part)
            with open_hdf5(part.shard.path) as file:
                table = open_table(file, name)
                distinct, inverse = np.unique(_any_rows(table.row, part.in_shard(there)), return_inverse=True)
                _check_rows(table, distinct)
                texts = Strings.of(rows_of(table.sentence, distinct)).tolist()
                vectors = rows_of(table.embedding, distinct)
            before = len(place)
            united = np.array([place.setdefault(text, len(place)) for text in texts], np.int64)
            new = np.unique(united, return_index=True)
            embeddings.append(vectors[new[1][new[0] >= before]])
            row[wanted] = united[inverse]
        if (row < 0).any():
            raise _in_none(name, row, take_texts(self.captions.id, captions))
        width = text_table_shape(self._holders(name)[0].shard.path, name)[1]
        return TextTable(list(place), np.concatenate([np.empty((0, width), np.float16), *embeddings]), row)

    def _holders(self, name: TextName) -> list[_Part]:
        return [part for part in self.parts if name in part.shard.text_names]

    def find_sentences(self, name: TextName, wanted: Collection[str]) -> dict[str, np.ndarray]:
        """The embeddings `(D,)` float16 of those of the `wanted` sentences that some shard holds."""
        if name not in self._sentences:
            self._sentences[name] = SentenceIndex.read(name, [part.shard.path for part in self._holders(name)])
        return self._sentences[name].find(wanted)

    def tokens(self, remedy: str) -> StoredTokens:
        """The word tokens of all captions; raises `StoreError`, naming the `remedy`, where a caption has none."""
        parts = [TokenPart(part.shard, part.rows, part.position) for part in self.parts if part.shard.has_tokens]
        return unite_tokens(parts, self.captions, remedy)

    def find_tokens(self, wanted: Collection[str]) -> dict[str, np.ndarray]:
        """The word tokens `(L, D)` float16 of those of the `wanted` sentences that some shard holds."""
        return find_tokens([part.shard.path for part in self.parts if part.shard.has_tokens], wanted)

    def captions_sum(self) -> str:
        """The content sum of the captions; of shards whose captions are theirs alone, the sum that they state."""
        protocols = self.captions.protocols
        sums, start = [], 0
        for part in self.parts:
            stated = part.shard.sums["captions"]
            if self.recurs or not part.is_whole or set(part.protocols) != set(protocols) or not int(stated, 16):
                sums.append(self._captions_sum_of(part, start))
            else:
                sums.append(stated)
            start += part.count
        return add_sums(sums)

    def _captions_sum_of(self, part: _Part, start: int) -> str:
        """Of those captions of a part that stand nowhere before."""
        places = part.places()
        mine = np.arange(part.count)
        if self.first is not None:
            mine = mine[self.first[places] == start + mine]
        captions = caption_rows(part.captions(), mine)
        codes = {name: values[places[mine]] for name, values in self.captions.protocols.items()}
        return captions_sum(replace(captions, protocols=codes))

    def table_sums(self) -> list[str]:
        """The content sums of each shard's texts and word tokens, counting only captions that still count."""
        tokens = [_live_tokens_sum(part) for part in self.parts if part.shard.has_tokens]
        return tokens + [_live_table_sum(part, name) for part in self.parts for name in part.shard.text_names]

    @cached_property
    def holding(self) -> Mapping[TextName, np.ndarray]:
        """`(M,)` bool by strategy and stream: which captions there are texts of."""
        found: dict[TextName, np.ndarray] = {}
        for part in self.parts:
            for name in [*part.shard.text_names, *([WORD_TOKENS] if part.shard.has_tokens else [])]:
                found.setdefault(name, np.zeros(len(self.captions.id), bool))[part.position] = True
        return found


def caption_rows(captions: Captions, rows: np.ndarray) -> Captions:
    """Some of the captions, by their rows."""
    return Captions(
        id=take_texts(captions.id, rows),
        video_id=take_texts(captions.video_id, rows),
        text=take_texts(captions.text, rows),
        protocols={name: codes[rows] for name, codes in captions.protocols.items()},
        shortfall=captions.shortfall,
    )


def part_rows(part: _Part, captions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which of some captions, given by ascending rows of the union, lie in a part, and their rows there."""
    if isinstance(part.position, slice):
        first, end = np.searchsorted(captions, [part.position.start, part.position.stop])
        return np.arange(first, end), captions[first:end] - part.position.start
    begins, ends = (np.searchsorted(captions, part.position, side) for side in ("left", "right"))
    there = np.flatnonzero(ends > begins)
    many = (ends - begins)[there]
    wanted = np.repeat(begins[there] - (np.cumsum(many) - many), many) + np.arange(int(many.sum()))
    return wanted, np.repeat(there, many)


def _check_rows(table: OpenTable, row: np.ndarray) -> None:
    """Raises `StoreError` where captions point outside a table, or it has other embeddings than sentences."""
    is_inside = not len(row) or 0 <= int(row.min()) <= int(row.max()) < len(table.sentence)
    if not is_inside or len(table.sentence) != len(table.embedding):
        where = table.sentence.file.filename
        raise StoreError(f"{where}: {table.sentence.parent.name} does not fit together; the file is not a sound store")


def _any_rows(dataset: h5py.Dataset, rows: np.ndarray) -> np.ndarray:
    """Rows in any order, some of them twice."""
    distinct, inverse = np.unique(rows, return_inverse=True)
    return rows_of(dataset, distinct)[inverse]


def _distinct(holders: Sequence[_Part], hashes: np.ndarray, row: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each distinct sentence stands first, counted through the holders, and which of these a caption has.

    Those that no caption has any more are left out.
    """
    first, place = first_of_each(hashes)
    row = place[row]
    if not all(part.is_whole for part in holders):
        used, row = np.unique(row, return_inverse=True)
        first = first[used]
    return first, row.astype(np.int64)


def _united_table(
    name: TextName,
    holders: Sequence[_Part],
    starts: np.ndarray,
    embedding: np.ndarray,
    first: np.ndarray,
    row: np.ndarray,
) -> TextTable:
    """Tables one below the other as one of the sentences that stand `first`."""
    chosen = None if len(first) == len(embedding) else first
    if chosen is not None:
        for start in range(0, len(first), _BLOCK_ROWS):
            block = first[start : start + _BLOCK_ROWS]
            embedding[start : start + len(block)] = embedding[block]
    read = StackedTexts([part.shard.path for part in holders], _SentencesOf(name), starts[:-1], chosen)
    return TextTable(StoredStrings(len(first), read), embedding[: len(first)], row)


_BLOCK_ROWS = 65_536


@dataclass(frozen=True)
class _SentencesOf:
    """Where the sentences of a table lie in a file."""

    name: TextName

    def __call__(self, file: h5py.File) -> h5py.Dataset:
        return open_table(file, self.name).sentence


def _in_two(name: TextName, part: _Part) -> StoreError:
    return StoreError(f"texts {'/'.join(name)} of a caption lie in {part.shard.path} and in another shard; give one")


def _in_none(name: TextName, row: np.ndarray, ids: Sequence[str]) -> StoreError:
    return StoreError(
        f"{int((row < 0).sum())} of {counted(len(row), 'caption')} lack the texts {'/'.join(name)} "
        f"(first: {ids[int(np.argmin(row))]!r}); run the same camoe-extract command again"
    )


def _live_table_sum(part: _Part, name: TextName) -> str:
    if part.is_whole:
        return part.shard.sums["/".join(name)]
    return table_sum(part.captions(), name, part.read_table(name))


def _live_tokens_sum(part: _Part) -> str:
    if part.is_whole:
        return part.shard.sums["tokens"]
    tokens = read_tokens(part.shard.path)
    return tokens_sum(part.captions(), replace(tokens, row=tokens.row[part.rows]))


def _live_part(shard: ShardIndex, removed: frozenset[CaptionKey]) -> tuple[_Part, CaptionKeys]:
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
    return _Part(shard, keys.protocols, len(keys.id), whole, rows, slice(0, 0)), keys


def _stacked(
    column: Callable[[h5py.File], h5py.Dataset], parts: Sequence[_Part], first: np.ndarray | None, ends: np.ndarray
) -> StackedTexts:
    """The captions' ids or texts, each from the shard in which its caption stands first."""
    chosen = first
    starts = np.cumsum([0, *(part.whole for part in parts)])
    if not all(part.is_whole for part in parts):
        counted_through = np.arange(int(ends[-1])) if first is None else first
        number = np.searchsorted(ends, counted_through, "right") - 1
        places = [part.in_shard(np.arange(part.count)) + start for part, start in zip(parts, starts, strict=False)]
        chosen = np.concatenate([np.empty(0, np.int64), *places])[counted_through] if len(number) else number
    return StackedTexts([part.shard.path for part in parts], column, starts[:-1], chosen)


def _refuse_doubles(parts: Sequence[tuple[_Part, CaptionKeys]], arranged: Arrangement, ends: np.ndarray) -> None:
    """A caption may stand in several shards, and once in each."""
    double = arranged.first_double(ends)
    if double is not None:
        number = int(np.searchsorted(ends, double, "right")) - 1
        (part, keys), row = parts[number], double - int(ends[number])
        raise StoreError(
            f"{part.shard.path}: video {keys.video_id[row]!r} has two captions {keys.id[row]!r}; "
            "the file is not a sound store"
        )


def _refuse_different_texts(parts: Sequence[_Part], captions: Captions) -> None:
    """A caption that stands in several shards reads the same in all."""
    count = len(captions.id)
    seen = np.zeros((2, count), np.uint64)
    is_seen = np.zeros(count, bool)
    for part in parts:
        with open_hdf5(part.shard.path) as file:
            hashes = text_hashes(caption_texts(file)[()])[:, part.rows]
        differs = is_seen[part.position] & (seen[:, part.position] != hashes).any(axis=0)
        if differs.any():
            row = int(part.places()[differs.argmax()])
            raise StoreError(
                f"caption {captions.id[row]!r} of video {captions.video_id[row]!r} reads differently in "
                f"{part.shard.path} and in another shard; they were made from different caption files"
            )
        seen[:, part.position] = hashes
        is_seen[part.position] = True


def _united_protocols(parts: Sequence[_Part], count: int) -> dict[str, np.ndarray]:
    protocols: dict[str, np.ndarray] = {}
    for part in parts:
        for name, codes in part.protocols.items():
            united = protocols.setdefault(name, np.zeros(count, np.uint8))
            there = united[part.position]
            if ((there != codes) & (there != UNUSED) & (codes != UNUSED)).any():
                raise StoreError(
                    f"protocol {name} puts a caption into another subset in {part.shard.path} than elsewhere"
                )
            united[part.position] = np.maximum(there, codes)
    return protocols
