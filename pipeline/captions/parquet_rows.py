"""Own captions in a parquet file, as pandas, polars and DuckDB write them."""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import resource
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CamoeError
from ..file_kinds import PARQUET, file_kind
from ..regular import open_regular
from ..wording import counted
from .columns import KNOWN, Columns
from .rows import Row, Unusable, rows_of

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from pyarrow.parquet import FileMetaData

MAX_ROWS = 100_000_000
UNSUSPECTED_BYTES, MOST_FOLDED = 1 << 28, 200
"""Columns that unfold to more bytes than this, and to more than so many times the file, are not believed."""
_MOST_MEMORY = 2 << 30
_ROWS_AT_ONCE = 256


def parquet_rows(path: Path, columns: Columns = KNOWN) -> Iterator[Row | Unusable]:
    """The captions of a parquet file, in order; its other columns are not read.

    Raises `CamoeError` for a file that is damaged, that unfolds beyond reason, or whose row is no caption of a video.
    """
    is_empty = True
    for number, entry in enumerate(_entries(path, columns), start=1):
        is_empty = False
        yield from rows_of(entry, f"{path.name} row {number}", columns)
    if is_empty:
        raise CamoeError(f"{path.name} has columns and no rows; add a row for each caption")


def _entries(path: Path, columns: Columns) -> Iterator[dict[str, Any]]:
    """Each row under our names, read in another process, which some damaged files end."""
    context = multiprocessing.get_context("fork")
    receive, send = context.Pipe(duplex=False)
    child = context.Process(target=_send_blocks, args=(path, columns, send), daemon=True)
    child.start()
    send.close()
    try:
        while (block := receive.recv()) is not None:
            if isinstance(block, str):
                raise CamoeError(block)
            yield from block
    except EOFError:
        raise CamoeError(f"{path.name} is damaged (reading it ends the process); write it again") from None
    finally:
        child.kill()
        child.join()
        receive.close()


def _send_blocks(path: Path, columns: Columns, send: Connection) -> None:
    """The rows in lists, then None; or what is wrong with the file."""
    _contain()
    try:
        for block in _blocks(path, columns):
            send.send(block)
        send.send(None)
    except CamoeError as error:
        send.send(str(error))


def _contain() -> None:
    """What a hostile file may take: so much memory, and no word or core dump when it ends this process."""
    faulthandler.disable()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        limit = pages * os.sysconf("SC_PAGE_SIZE") + _MOST_MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))


def _blocks(path: Path, columns: Columns) -> Iterator[list[dict[str, Any]]]:
    import pyarrow
    from pyarrow.parquet import ParquetFile

    try:
        with open_regular(path) as stream, ParquetFile(stream) as file:
            header: list[str] = file.schema_arrow.names
            names = {column: header[place] for column, place in columns.places(header, path.name).items()}
            _refuse_beyond_reason(_claimed_bytes(file.metadata, set(names.values()), path), path)
            unfolded = 0
            for batch in file.iter_batches(_ROWS_AT_ONCE, columns=sorted(set(names.values())), use_threads=False):
                values = [batch.column(batch.schema.names.index(name)).to_pylist() for name in names.values()]
                unfolded += sum(map(_length, values))  # with every repetition of what is written once
                _refuse_beyond_reason(unfolded, path)
                yield [dict(zip(names, map(_plain, row), strict=True)) for row in zip(*values, strict=True)]
    except (pyarrow.ArrowException, ValueError, OverflowError, OSError, MemoryError) as error:
        if isinstance(error, OSError) and error.filename:
            raise CamoeError(f"--captions {path} cannot be read: {error.strerror}") from error
        kind = file_kind(path)
        if kind not in (None, PARQUET):
            raise CamoeError(f"{path.name} is {kind}, and not a parquet file") from error
        told = " ".join(str(error).split()).rstrip(".")[:200]
        raise CamoeError(f"{path.name} is damaged, or not a parquet file ({told}); write it again") from error


def _claimed_bytes(found: FileMetaData, names: set[str], path: Path) -> int:
    """How large the file says that its columns `names` are; raises `CamoeError` for more rows than are read."""
    if found.num_rows > MAX_ROWS:
        raise CamoeError(f"{path.name} has {found.num_rows:,} rows; at most {MAX_ROWS:,} captions are read")
    size = 0
    for group in map(found.row_group, range(found.num_row_groups)):
        for column in map(group.column, range(group.num_columns)):
            if column.path_in_schema.split(".")[0] in names or column.path_in_schema in names:
                size += column.total_uncompressed_size
    return size


def _refuse_beyond_reason(unfolded: int, path: Path) -> None:
    size = os.path.getsize(path)
    if unfolded > max(UNSUSPECTED_BYTES, MOST_FOLDED * size):
        told = f"{counted(size, 'byte')} that unfold to {unfolded:,} and more"
        raise CamoeError(f"{path.name} holds {told}, which no captions do; write it again")


def _length(value: Any) -> int:
    """Characters in a text, or in all of a list."""
    return sum(map(_length, value)) if isinstance(value, list) else len(value) if isinstance(value, str | bytes) else 1


def _plain(value: Any) -> Any:
    """A duration in seconds; anything else as it is."""
    return value.total_seconds() if isinstance(value, timedelta) else value
