"""Opening a video file, whatever bears its name."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from .files import is_escaped_name
from .reasons import FrameDecodeError


def open_regular(path: Path) -> tuple[int, os.stat_result]:
    """Open without blocking on a FIFO or a device; raises `FrameDecodeError` for what is not a regular file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        if is_escaped_name(path):
            raise FrameDecodeError("its name is not valid UTF-8; rename it") from None
        raise FrameDecodeError("the file does not exist (a broken link, or it vanished during the run)") from None
    except PermissionError:
        raise FrameDecodeError("the file may not be read (permission denied)") from None
    except OSError as error:
        loop = error.errno == errno.ELOOP
        raise FrameDecodeError("a symbolic link that leads to itself" if loop else str(error.strerror)) from None
    found = os.fstat(descriptor)
    problem = None
    if stat.S_ISDIR(found.st_mode):
        problem = "a folder, not a video file"
    elif not stat.S_ISREG(found.st_mode):
        problem = "not a regular file (a pipe, socket or device)"
    elif found.st_size == 0:
        problem = "the file is empty"
    if problem is not None:
        os.close(descriptor)
        raise FrameDecodeError(problem)
    return descriptor, found
