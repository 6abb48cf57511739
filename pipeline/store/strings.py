"""Columns of text for stores of any size: one block of bytes, not an object a value, and read when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .safe_open import TEXT_ERRORS

_DECODED = 65_536


class Strings(Sequence[str]):
    """`N` texts that are read like a list, and compared with one; as a list they would take ten times the memory.

    They are kept as UTF-8, whose bytes sort as the texts do.
    """

    def __init__(self, values: Any) -> None:
        """`values` is a `pyarrow.LargeBinaryArray`; whoever has texts or a column of a file begins with `of`."""
        self.values = values

    @classmethod
    def of(cls, texts: Iterable[str] | np.ndarray) -> Strings:
        """From texts, or from a column of bytes `(N,)` as HDF5 keeps it: raises `ValueError` where that is no UTF-8."""
        if isinstance(texts, Strings):
            return texts
        if isinstance(texts, np.ndarray) and texts.dtype.kind == "S":
            return Strings(_ragged(texts))
        return Strings(pa.array([text.encode("utf-8", TEXT_ERRORS) for text in texts], pa.large_binary()))

    @classmethod
    def joined(cls, parts: Sequence[Strings]) -> Strings:
        """One below the other."""
        arrays = [part.values for part in parts]
        return Strings(pa.concat_arrays(arrays) if arrays else pa.array([], pa.large_binary()))

    # -- as a list

    def __len__(self) -> int:
        return len(self.values)

    @overload
    def __getitem__(self, rows: int) -> str: ...

    @overload
    def __getitem__(self, rows: slice) -> list[str]: ...

    def __getitem__(self, rows: int | slice) -> str | list[str]:
        if isinstance(rows, slice):
            return _decoded(self.take(slice(*rows.indices(len(self)))).values)
        row = int(rows)
        if not -len(self) <= row < len(self):
            raise IndexError(f"row {row} of {len(self)}")
        return self._at(row % len(self))

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), _DECODED):
            yield from self[start : start + _DECODED]

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Strings):
            return bool(self.values.equals(other.values))
        return isinstance(other, Sequence) and not isinstance(other, str) and self.tolist() == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __contains__(self, text: object) -> bool:
        return isinstance(text, str) and self.find([text])[0] >= 0

    def __repr__(self) -> str:
        return repr(self.tolist()) if len(self) <= 10 else f"<{len(self)} texts: {self[0]!r}, … {self[-1]!r}>"

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.tolist(), dtype)

    def tolist(self) -> list[str]:
        """All of them as Python's own."""
        return [text for start in range(0, len(self), _DECODED) for text in self[start : start + _DECODED]]

    # -- as a column

    def _at(self, row: int) -> str:
        value: bytes = self.values[row].as_py()
        return value.decode("utf-8", TEXT_ERRORS)

    def take(self, rows: np.ndarray | slice) -> Strings:
        """Those of some rows, in that order."""
        if isinstance(rows, slice):
            if rows.step in (None, 1):
                return Strings(self.values[rows.start : max(rows.start, rows.stop)])
            rows = np.arange(rows.start, rows.stop, rows.step)
        return Strings(self.values.take(pa.array(rows, pa.int64())))

    def fixed(self) -> np.ndarray:
        """`(N,)` bytes of one width, as HDF5 keeps them."""
        offsets = _offsets(self.values)
        lengths = np.diff(offsets)
        width = max(1, int(lengths.max(initial=0)))
        letters = np.zeros((len(self), width), np.uint8)
        letters[np.arange(width) < lengths[:, None]] = _letters(self.values)
        return letters.reshape(-1).view(f"S{width}")

    def find(self, texts: Sequence[str]) -> np.ndarray:
        """`(len(texts),)` int64: the first row of each text among these, -1 where there is none."""
        wanted = Strings.of(texts)
        distinct = pc.unique(wanted.values)
        rows = np.full(len(distinct) + 1, -1, np.int64)
        if len(distinct) < len(self):
            hit = _rows(pc.index_in(self.values, value_set=distinct))
            there = np.flatnonzero(hit >= 0)[::-1]
            rows[hit[there]] = there
        else:
            rows[:-1] = _rows(pc.index_in(distinct, value_set=self.values))
        return rows[_rows(pc.index_in(wanted.values, value_set=distinct))]

    def among(self, texts: Sequence[str]) -> np.ndarray:
        """`(N,)` bool: which of these are among some texts."""
        return np.asarray(pc.is_in(self.values, value_set=Strings.of(texts).values))

    def order(self) -> np.ndarray:
        """`(N,)` int64: rows in the order of the texts, equal ones as they stand."""
        if self.ascend:
            return np.arange(len(self))
        table = pa.table({"text": self.values})
        return pc.sort_indices(table, sort_keys=[("text", "ascending")]).to_numpy().astype(np.int64)

    @property
    def ascend(self) -> bool:
        """Whether each is greater than the one before it."""
        return bool(pc.all(pc.less(self.values[:-1], self.values[1:])).as_py()) if len(self) > 1 else True


class StoredStrings(Strings):
    """Texts that lie in files until one is asked for; then all are read, but for `take`, which reads only its rows."""

    def __init__(self, count: int, read: Callable[[np.ndarray | None], Strings]) -> None:
        """`read` gives those of some rows, or all for `None`."""
        self._count, self._read = count, read
        self._values: Any = None

    @property
    def values(self) -> Any:
        if self._values is None:
            self._values = self._read(None).values
        return self._values

    def __len__(self) -> int:
        return self._count

    def take(self, rows: np.ndarray | slice) -> Strings:
        """Those of some rows; only they are read."""
        if self._values is None and not isinstance(rows, slice):
            return self._read(np.asarray(rows, np.int64))
        return super().take(rows)


class CodedStrings(Strings):
    """Texts that recur: each is one of the `distinct` ones, which ascend, by its `codes (N,)`."""

    def __init__(self, distinct: Strings, codes: np.ndarray) -> None:
        self.distinct, self.codes = distinct, codes

    @property
    def values(self) -> Any:
        return self.distinct.take(self.codes).values

    def __len__(self) -> int:
        return len(self.codes)

    def _at(self, row: int) -> str:
        return self.distinct[int(self.codes[row])]

    def __iter__(self) -> Iterator[str]:
        return iter(self.tolist())

    def tolist(self) -> list[str]:
        """All of them as Python's own; equal ones are one object."""
        distinct = self.distinct.tolist()
        return [distinct[code] for code in self.codes.tolist()]

    def take(self, rows: np.ndarray | slice) -> Strings:
        """Those of some rows, in that order."""
        return self.distinct.take(self.codes[rows])

    def find(self, texts: Sequence[str]) -> np.ndarray:
        """`(len(texts),)` int64: the first row of each text among these, -1 where there is none."""
        first = np.full(len(self.distinct) + 1, -1, np.int64)
        used, rows = np.unique(self.codes, return_index=True)
        first[used] = rows
        return first[self.distinct.find(texts)]

    def among(self, texts: Sequence[str]) -> np.ndarray:
        """`(N,)` bool: which of these are among some texts."""
        return self.distinct.among(texts)[self.codes]


def take_texts(texts: Sequence[str], rows: np.ndarray) -> Sequence[str]:
    """Some rows of a column, which may be a plain list."""
    return texts.take(rows) if isinstance(texts, Strings) else [texts[row] for row in rows.tolist()]


def check_text(column: np.ndarray) -> None:
    """Raises `ValueError` where a column of bytes `(N,)` is no UTF-8."""
    if column.size and np.ascontiguousarray(column).view(np.uint8).max() >= 0x80:
        _ragged(column)


def _ragged(column: np.ndarray) -> Any:
    lengths = np.char.str_len(column).astype(np.int64)
    letters = np.ascontiguousarray(column).view(np.uint8).reshape(len(column), column.dtype.itemsize)
    content = letters[np.arange(letters.shape[1]) < lengths[:, None]]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    if content.size and content.max() >= 0x80:
        begins_amid = (content[offsets[:-1][lengths > 0]] & 0xC0) == 0x80
        for value in column[lengths > 0][begins_amid].tolist():
            value.decode("utf-8", TEXT_ERRORS)
        content.tobytes().decode("utf-8", TEXT_ERRORS)
    return pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), len(column), [None, pa.py_buffer(offsets), pa.py_buffer(content)]
    )


def _offsets(values: Any) -> np.ndarray:
    """`(N + 1,)` int64: where each value begins and ends in the array's buffer."""
    offsets = np.frombuffer(values.buffers()[1] or b"\0" * 8, np.int64)
    return offsets[values.offset : values.offset + len(values) + 1]


def _letters(values: Any) -> np.ndarray:
    """The bytes of all values, one after the other."""
    offsets = _offsets(values)
    return np.frombuffer(values.buffers()[2] or b"", np.uint8)[offsets[0] : offsets[-1]]


def _decoded(values: Any) -> list[str]:
    """Decoded at one go; where that is not possible by place, one after the other."""
    if not len(values):
        return []
    content, offsets = _letters(values).tobytes(), (_offsets(values) - _offsets(values)[0]).tolist()
    if content.isascii():
        text = content.decode("ascii")
        return [text[start:end] for start, end in pairwise(offsets)]
    return [content[start:end].decode("utf-8", TEXT_ERRORS) for start, end in pairwise(offsets)]


def _rows(found: Any) -> np.ndarray:
    """Places that Arrow found, -1 where it found none."""
    return np.asarray(pc.fill_null(found, -1)).astype(np.int64)
