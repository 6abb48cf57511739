"""Whether a command may write where it was told to, asked before it works for hours."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from .errors import CamoeError

_AS_WE_WRITE = {"effective_ids": True} if os.access in os.supports_effective_ids else {}


def check_writable(out: Path, *, inside: bool = False, remedy: str = "give another --out") -> None:
    """Raise `CamoeError` where `out` could not be made or replaced; with `inside` it is a folder to write into.

    A file without a name is made in the folder: rights alone do not tell of `/proc`, or of a full disk.
    """
    folder = out if inside else out.absolute().parent
    while not (folder.exists() or folder.is_symlink()):
        folder = folder.absolute().parent
    if not folder.is_dir():
        raise CamoeError(f"{out} cannot be written: {folder} is not a folder; {remedy}")
    if not os.access(folder, os.W_OK | os.X_OK, **_AS_WE_WRITE):
        raise CamoeError(f"{out} cannot be written: you may not write in the folder {folder}; {remedy}")
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        reason = error.strerror or str(error)
        raise CamoeError(f"{out} cannot be written: the folder {folder} takes no files ({reason}); {remedy}") from None
