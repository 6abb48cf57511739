"""Files that are either whole or absent."""

from __future__ import annotations

import glob
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .regular import real_path


@contextmanager
def atomic_path(final: Path) -> Iterator[Path]:
    """A path beside `final` to write to; on success it is flushed to disk and renamed, else removed.

    Where `final` is a link, what it leads to is replaced.
    """
    final = real_path(final)
    temporary = final.with_name(f"{final.name}.tmp.{os.getpid()}")
    try:
        yield temporary
        fsync(temporary)
        os.replace(temporary, final)
        fsync(final.parent)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError) and error.errno and temporary.name in str(error):
            raise OSError(error.errno, os.strerror(error.errno), str(final)) from error  # under the name that is known
        raise


def write_atomic(final: Path, content: bytes | str) -> None:
    """Publish `content` under the name `final`, whole or not at all."""
    with atomic_path(final) as temporary, open(temporary, "wb") as stream:
        stream.write(content.encode() if isinstance(content, str) else content)


def remove_leftovers(final: Path) -> None:
    """Remove what killed processes left beside `final`: `NAME.tmp.PID` of a PID that no longer runs."""
    for path in final.parent.glob(f"{glob.escape(final.name)}.*.*"):
        kind, _, number = path.name.removeprefix(final.name + ".").partition(".")
        if kind in ("tmp", "old") and number.isdigit() and not _is_running(int(number)):
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def fsync(path: Path) -> None:
    """Push a file or a folder's entries to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
