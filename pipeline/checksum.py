"""Sums that tell whether a file is the one that it was."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from .regular import open_regular

_BLOCK = 1 << 20
_WHOLE = 64 * _BLOCK
"""Files up to this size are read whole for their fingerprint, of larger ones as many blocks, evenly spread."""


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
    with open_regular(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        digest = hashlib.sha256(f"{size} bytes\n".encode())
        blocks = -(-size // _BLOCK)
        read = min(blocks, _WHOLE // _BLOCK)
        for number in range(read):
            stream.seek(number * blocks // read * _BLOCK)
            digest.update(stream.read(_BLOCK))
        if size > _WHOLE:
            stream.seek(-_BLOCK, os.SEEK_END)
            digest.update(stream.read(_BLOCK))
    return digest.hexdigest()[:32]
