"""Shards get their names: written beside them, read back, renamed and listed, by any of several writers."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from ..atomic import atomic_path
from ..checksum import file_sha256
from ..errors import RunStoppedError
from .manifest import read_manifest, write_manifest
from .place import Place
from .schema import Shard
from .writer import shard_bytes


def publish_shard(place: Place, name: str, shard: Shard) -> None:
    """Publish a shard in the store's folder; raises `RunStoppedError` when the disk refuses, the others intact."""
    image = shard_bytes(shard)

    def write(path: Path) -> str:
        path.write_bytes(image)
        return hashlib.sha256(image).hexdigest()

    publish_file(place, name, write)


def publish_file(place: Place, name: str, write: Callable[[Path], str]) -> None:
    """Publish what `write` puts at a path, whose SHA-256 it returns; raises as `publish_shard` does."""
    path = place.folder / name
    try:
        with atomic_path(path) as temporary:
            digest = write(temporary)
            if file_sha256(temporary) != digest:
                raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        list_shards(place, {name: digest})
    except OSError as error:
        raise RunStoppedError(
            f"{path} could not be written ({error.strerror}); the finished shards are intact: "
            "make room and run the same command again"
        ) from error


def list_shards(place: Place, sums: Mapping[str, str]) -> None:
    """Add checksums to the manifest, which other writers may be changing, too."""
    with place.changing():
        listed = read_manifest(place.parts_manifest)
        if any(listed.get(name) != digest for name, digest in sums.items()):
            write_manifest(place.parts_manifest, {**listed, **sums})
