"""Files that are either whole or absent."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def atomic_path(final: Path) -> Iterator[Path]:
    """A path beside `final` to write to; on success it is flushed to disk and renamed, else removed."""
    temporary = final.with_name(f"{final.name}.tmp.{os.getpid()}")
    try:
        yield temporary
        fsync(temporary)
        os.replace(temporary, final)
        fsync(final.parent)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def write_atomic(final: Path, content: bytes | str) -> None:
    """Publish `content` under the name `final`, whole or not at all."""
    with atomic_path(final) as temporary, open(temporary, "wb") as stream:
        stream.write(content.encode() if isinstance(content, str) else content)


def fsync(path: Path) -> None:
    """Push a file or a folder's entries to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
