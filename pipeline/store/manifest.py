"""`SHA256SUMS`: the checksum of each shard, in the format that `sha256sum --check` reads.

HDF5 finds flipped bytes in data, not always in its own structure; so a shard is compared with its checksum before it
is opened for verification.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from ..atomic import write_atomic
from ..errors import CamoeError
from ..regular import read_regular, real_path

FOLDER_MANIFEST = "SHA256SUMS"
_LINE = re.compile("[0-9a-f]{64}  .+")


def manifest_path(shard: Path) -> Path:
    """Where the checksum of a shard is kept: beside a single file, or in the folder of shards."""
    shard = real_path(shard)
    alone = shard.with_name(shard.name + ".sha256")
    return alone if alone.exists() else shard.parent / FOLDER_MANIFEST


def store_of(shard: Path) -> Path:
    """The store that a shard is of: the folder whose manifest lists it, or the file itself."""
    manifest = manifest_path(shard)
    return shard.parent if manifest.name == FOLDER_MANIFEST and shard.name in read_manifest(manifest) else shard


def read_manifest(path: Path) -> dict[str, str]:
    """File name -> SHA-256; empty when there is no manifest."""
    if not os.path.lexists(path):
        return {}
    lines = [line.split("  ", 1) for line in _lines(path)]
    return {parts[1]: parts[0] for parts in lines if len(parts) == 2}


def check_manifest(path: Path) -> None:
    """Raises `CamoeError` where a manifest is not what `write_manifest` writes: a line of it that lists no shard would
    leave that shard without a checksum."""
    for number, line in enumerate(_lines(path) if os.path.lexists(path) else [], 1):
        if not _LINE.fullmatch(line):
            raise _unreadable(path, f"line {number} is no checksum of a file")


def _lines(path: Path) -> list[str]:
    try:
        return read_regular(path).decode("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, getattr(error, "strerror", None) or "it is not text") from None


def _unreadable(path: Path, reason: str) -> CamoeError:
    return CamoeError(f"{path} cannot be read ({reason}); restore it, or delete it: camoe-extract sums the shards anew")


def write_manifest(path: Path, sums: dict[str, str]) -> None:
    """Replace the manifest, whole."""
    write_atomic(path, "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items())))
