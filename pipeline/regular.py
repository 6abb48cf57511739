"""Opening files that anyone may have put there: a pipe or a device is refused instead of waited for."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """The file for reading; raises `OSError` where it cannot be read, or is not a regular file."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        kind = errno.EISDIR if os.path.isdir(path) else errno.EINVAL
        reason = os.strerror(kind) if kind == errno.EISDIR else "it is not a regular file"
        raise OSError(kind, reason, os.fspath(path))
    return os.fdopen(descriptor, "rb")


def read_regular(path: str | os.PathLike[str]) -> bytes:
    """All of a regular file; raises as `open_regular` does."""
    with open_regular(path) as stream:
        return stream.read()


def open_lock(path: str | os.PathLike[str]) -> int:
    """A descriptor to lock; the file is made where there is none. Raises `OSError` where it is not a regular file."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o644)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not a regular file", os.fspath(path))
    return descriptor


def real_path(path: Path) -> Path:
    """The file that a link leads to; a link that leads round in a circle is left as it is."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path
