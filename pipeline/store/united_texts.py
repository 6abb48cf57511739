"""The texts of one strategy and stream that lie in several shards, read as one table in which no sentence recurs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from ..wording import counted
from .live_part import LivePart
from .rows import StackedTexts, rows_of
from .safe_open import StoreError, open_hdf5
from .schema import TextName, TextTable
from .shard import OpenTable, open_table, text_table_shape
from .strings import StoredStrings, Strings, take_texts
from .text_hash import first_of_each, text_hashes

_BLOCK_ROWS = 65_536


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
class UnitedTexts:
    """Texts by their `name`, which lie in the shards of `holders`; `ids (M,)` are those of the captions.

    `is_alone`: there is one shard, all of whose captions count, so its table is taken as it stands.
    """

    name: TextName
    holders: Sequence[LivePart]
    ids: Sequence[str]
    is_alone: bool

    def table(self) -> TextTable:
        """All of them, a row for each caption; raises `StoreError` where a caption has none or two."""
        row = np.full(len(self.ids), -1, np.int64)
        shapes = [text_table_shape(part.shard.path, self.name) for part in self.holders]
        starts = np.cumsum([0, *(rows for rows, _ in shapes)])
        embedding = np.empty((int(starts[-1]), shapes[0][1]), np.float16)
        hashes = np.empty((2, len(embedding)), np.uint64)
        for part, start, end in zip(self.holders, starts.tolist(), starts[1:].tolist(), strict=False):
            table = part.read_table(self.name, embedding[start:end])
            if (row[part.position] >= 0).any():
                raise _in_two(self.name, part)
            row[part.position] = start + table.row
            if self.is_alone:
                return TextTable(table.sentence, embedding, row)
            with open_hdf5(part.shard.path) as file:
                hashes[:, start:end] = text_hashes(open_table(file, self.name).sentence[()])
        if (row < 0).any():
            raise _in_none(self.name, row, self.ids)
        first, row = self._distinct(hashes, row)
        return self._one_table(starts, embedding, first, row)

    def places(self) -> TextPlaces:
        """Where their embeddings lie; raises `StoreError` as `table`."""
        row = np.full(len(self.ids), -1, np.int64)
        hashes, starts = [np.empty((2, 0), np.uint64)], [0]
        for part in self.holders:
            with open_hdf5(part.shard.path) as file:
                table = open_table(file, self.name)
                mine: np.ndarray = table.row[()]
                hashes.append(text_hashes(table.sentence[()]))
                _check_rows(table, mine)
            if (row[part.position] >= 0).any():
                raise _in_two(self.name, part)
            row[part.position] = starts[-1] + mine[part.rows]
            starts.append(starts[-1] + hashes[-1].shape[1])
        if (row < 0).any():
            raise _in_none(self.name, row, self.ids)
        first = np.arange(starts[-1])
        if not self.is_alone:  # as it stands, as `table` takes it
            first, row = self._distinct(np.concatenate(hashes, axis=1), row)
        files = np.searchsorted(starts, first, "right") - 1
        paths = [part.shard.path for part in self.holders]
        return TextPlaces(self.name, paths, files, first - np.array(starts)[files], row)

    def table_of(self, captions: np.ndarray) -> TextTable:
        """`table` of some captions, by their rows; nothing else is read."""
        row = np.full(len(captions), -1, np.int64)
        place: dict[str, int] = {}
        embeddings: list[np.ndarray] = []
        order = np.argsort(captions, kind="stable")
        for part in self.holders:
            wanted, there = part.find(captions[order])
            if not len(wanted):
                continue
            wanted = order[wanted]
            if (row[wanted] >= 0).any():
                raise _in_two(self.name, part)
            with open_hdf5(part.shard.path) as file:
                table = open_table(file, self.name)
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
            raise _in_none(self.name, row, take_texts(self.ids, captions))
        width = text_table_shape(self.holders[0].shard.path, self.name)[1]
        return TextTable(list(place), np.concatenate([np.empty((0, width), np.float16), *embeddings]), row)

    def _distinct(self, hashes: np.ndarray, row: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where each distinct sentence stands first, counted through the holders, and which of these a caption has.

        Those that no caption has any more are left out.
        """
        first, place = first_of_each(hashes)
        row = place[row]
        if not all(part.is_whole for part in self.holders):
            used, row = np.unique(row, return_inverse=True)
            first = first[used]
        return first, row.astype(np.int64)

    def _one_table(self, starts: np.ndarray, embedding: np.ndarray, first: np.ndarray, row: np.ndarray) -> TextTable:
        """Tables one below the other as one of the sentences that stand `first`."""
        chosen = None if len(first) == len(embedding) else first
        if chosen is not None:
            for start in range(0, len(first), _BLOCK_ROWS):
                block = first[start : start + _BLOCK_ROWS]
                embedding[start : start + len(block)] = embedding[block]
        read = StackedTexts([part.shard.path for part in self.holders], _SentencesOf(self.name), starts[:-1], chosen)
        return TextTable(StoredStrings(len(first), read), embedding[: len(first)], row)


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


@dataclass(frozen=True)
class _SentencesOf:
    """Where the sentences of a table lie in a file."""

    name: TextName

    def __call__(self, file: h5py.File) -> h5py.Dataset:
        return open_table(file, self.name).sentence


def _in_two(name: TextName, part: LivePart) -> StoreError:
    return StoreError(f"texts {'/'.join(name)} of a caption lie in {part.shard.path} and in another shard; give one")


def _in_none(name: TextName, row: np.ndarray, ids: Sequence[str]) -> StoreError:
    return StoreError(
        f"{int((row < 0).sum())} of {counted(len(row), 'caption')} lack the texts {'/'.join(name)} "
        f"(first: {ids[int(np.argmin(row))]!r}); run the same camoe-extract command again"
    )
