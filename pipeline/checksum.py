"""Sums that tell whether a file is the one that it was."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from .regular import open_regular

_BLOCK = 1 << 20
_WHOLE = 64 * _BLOCK
"""Files up to this size are read whole for their fingerprint, of larger ones as many blocks, evenly spread."""
_SKETCH_BLOCK = 1 << 16


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with open_regular(path) as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def fingerprint(path: Path) -> str:
    """32 hexadecimal digits of a file's size and content; of a file above 64 MiB, of 64 blocks spread over it.

    Unlike the time of its last change, it survives a copy. Raises `OSError` where the file cannot be read.
    """
    return _sample(path, _BLOCK, _WHOLE // _BLOCK)


def sketch(path: Path) -> str:
    """A fingerprint for which little is read, whatever the file's size: its beginning, its middle and its end."""
    return _sample(path, _SKETCH_BLOCK, 2)


def _sample(path: Path, block: int, most: int) -> str:
    """The fingerprint of at most so many blocks of so many bytes, and of the file's end where that is not all."""
    with open_regular(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        digest = hashlib.sha256(f"{size} bytes\n".encode())
        blocks = -(-size // block)
        read = min(blocks, most)
        for number in range(read):
            stream.seek(number * blocks // read * block)
            digest.update(stream.read(block))
        if size > most * block:
            stream.seek(-block, os.SEEK_END)
            digest.update(stream.read(block))
    return digest.hexdigest()[:32]
