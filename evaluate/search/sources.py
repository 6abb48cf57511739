"""The files behind the videos: where they lie, and how one is opened so that nothing else can be."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ...pipeline.errors import CamoeError
from ...pipeline.store import FeatureStore
from .gallery import Gallery

NEAR = (".", "videos", "..", "../videos")
"""Where a store's videos are looked for, from the store's folder; then the same from the working folder."""
_TRIED = 20
NO_FOLDER = "the videos' files were not found near the store, so none can be shown; name their folder with --videos DIR"


class SourceError(CamoeError):
    """A video's file cannot be had; the message is a sentence for its owner."""


@dataclass(frozen=True)
class VideoFolder:
    """The folder that the store's sources are relative to; `root` is none where it is not known.

    `doubt` is a sentence for the user where files will not be found there, else empty.
    """

    root: Path | None
    doubt: str = ""

    @classmethod
    def find(cls, store: FeatureStore, gallery: Gallery, named: Path | None) -> VideoFolder:
        """The `named` folder, or one near the store that holds one of some sources with the recorded size.

        Raises `CamoeError` where the named one is no folder.
        """
        spread = range(0, len(gallery), -(-len(gallery) // _TRIED))
        if named is not None:
            if not named.is_dir():
                raise CamoeError(f"--videos {named} is not a folder; give the one that camoe-extract was given")
            folder = cls(named.resolve())
            if any(folder._holds(gallery, row) for row in spread):
                return folder
            doubt = (
                f"--videos {named} does not hold the store's videos as they were extracted "
                f"({gallery.source[spread[0]]}, for example); give the folder that camoe-extract was given"
            )
            return cls(folder.root, doubt)
        for start in (store.shards[0].path.absolute().parent, Path.cwd()):
            for name in NEAR:
                folder = cls((start / name).resolve())
                if any(folder._holds(gallery, row) for row in spread):
                    return folder
        return cls(None, NO_FOLDER)

    def _holds(self, gallery: Gallery, row: int) -> bool:
        try:
            os.close(self.open(gallery.source[row], int(gallery.size[row])))
        except SourceError:
            return False
        return True

    def shown(self, source: str) -> str:
        """The path to show for a source."""
        return source if self.root is None else str(self.root / source)

    def open(self, source: str, size: int) -> int:
        """A descriptor of a source, for reading; the caller closes it.

        Only a regular file of the recorded `size` below the folder, without a link that leads out of it, be it swapped
        in at the last moment: the path is resolved, and then walked from the folder without following any link. Raises
        `SourceError` otherwise.
        """
        if self.root is None:
            raise SourceError("the videos' folder is not known; start camoe-search with --videos DIR")
        pure = PurePosixPath(source)
        if pure.is_absolute() or ".." in pure.parts or not pure.parts or "\0" in source:
            raise SourceError(f"{source} does not lie in the videos' folder, so it is not shown")
        try:
            return self._walk(source, size)
        except FileNotFoundError:
            raise SourceError(f"{source} is not in {self.root} any more") from None
        except (OSError, RuntimeError) as error:
            raise SourceError(f"{source} cannot be read ({getattr(error, 'strerror', None) or error})") from None

    def _walk(self, source: str, size: int) -> int:
        assert self.root is not None
        resolved = (self.root / source).resolve(strict=True)
        if not resolved.is_relative_to(self.root):
            raise SourceError(f"{source} is a link that leads out of the videos' folder, so it is not shown")
        *folders, name = resolved.relative_to(self.root).parts
        place = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for folder in folders:
                inner = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=place)
                os.close(place)
                place = inner
            found = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=place)
        finally:
            os.close(place)
        return _checked(found, source, size)


def _checked(descriptor: int, source: str, size: int) -> int:
    status = os.fstat(descriptor)
    problem = None
    if not stat.S_ISREG(status.st_mode):
        problem = "is not a regular file"
    elif status.st_size != size:
        problem = f"has changed since it was extracted (it had {size} bytes and has {status.st_size})"
    if problem is None:
        return descriptor
    os.close(descriptor)
    raise SourceError(f"{source} {problem}")
