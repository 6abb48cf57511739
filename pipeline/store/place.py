"""Where a store lies while it is made, and who may write there.

A folder store is its shards. A single file is merged, at the end, from a folder of parts beside it (`NAME.h5.parts`).
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..atomic import write_atomic
from ..checksum import file_sha256
from ..errors import CamoeError
from ..locks import brief_lock, release_lock, take_lock
from ..regular import real_path
from .manifest import FOLDER_MANIFEST, write_manifest

SINGLE_SUFFIXES = (".h5", ".hdf5")
PLAN = "plan.jsonl"
_LOCK, _CHANGE_LOCK = ".lock", ".change.lock"
_MERGED = "MERGED"
"""In a folder of parts: the SHA-256 of the file that they were merged into, written before it got its name."""


@dataclass(frozen=True)
class Place:
    """`out` as the user named it, links followed; `folder` is where shards are published."""

    out: Path
    is_single: bool
    folder: Path

    @classmethod
    def of(cls, out: Path) -> Place:
        """The place of the store `out`: a single file by its suffix, else a folder."""
        out = real_path(out)
        is_single = out.suffix in SINGLE_SUFFIXES
        return cls(out, is_single, out.with_name(out.name + ".parts") if is_single else out)

    @property
    def failures(self) -> Path:
        """The view of the failures, for people."""
        return self.out.with_name(f"{self.out.stem}.failures.csv") if self.is_single else self.out / "failures.csv"

    @property
    def manifest(self) -> Path:
        """The checksum of a single file."""
        return self.out.with_name(self.out.name + ".sha256")

    @property
    def parts_manifest(self) -> Path:
        """The checksums of the shards in `folder`."""
        return self.folder / FOLDER_MANIFEST

    @property
    def plan(self) -> Path:
        """Which videos belong to which shard."""
        return self.folder / PLAN

    def check(self) -> None:
        """Raises `CamoeError` where something else lies there."""
        if self.is_single and self.out.is_dir():
            raise CamoeError(f"{self.out} is a folder; give a file name, or a folder without {self.out.suffix}")
        if not self.is_single and self.out.is_file():
            raise CamoeError(f"{self.out} is a file; name the store NAME.h5, or give a folder")
        if not self.is_single and self.out.is_dir():
            strangers = [entry for entry in self.out.iterdir() if not _ours(entry)]
            if strangers:
                raise CamoeError(f"{self.out} holds other things ({strangers[0].name}); give a new or empty folder")

    def shards(self) -> list[Path]:
        """The files that hold the store now."""
        if self.is_merged():
            return [self.out]
        found = sorted(self.folder.glob("*.h5")) if self.folder.is_dir() else []
        return [self.out, *found] if self.is_single and self.out.exists() else found

    # -- merging into a single file

    def is_merged(self) -> bool:
        """Whether a run was killed after it had merged the parts into the file, and before it removed them."""
        note = self.folder / _MERGED
        if not (note.exists() and self.out.exists()):
            return False
        return note.read_bytes().strip() == file_sha256(self.out).encode()

    def announce_merge(self, digest: str) -> None:
        """Note that the file of this checksum, once it has its name, holds all parts."""
        write_atomic(self.folder / _MERGED, digest)
        self.manifest.unlink(missing_ok=True)

    def settle_merge(self, digest: str) -> None:
        """The file has its name: list its checksum, and away with the parts."""
        write_manifest(self.manifest, {self.out.name: digest})
        for path in [*self.folder.glob("*.h5"), self.parts_manifest, self.plan, self.folder / _MERGED]:
            path.unlink(missing_ok=True)

    def tidy(self) -> None:
        """Finish a merge that was killed at its end, and remove what killed runs left half-written.

        Only for who writes there alone.
        """
        if self.is_merged():
            self.settle_merge(file_sha256(self.out))
        else:
            (self.folder / _MERGED).unlink(missing_ok=True)
        ours = tuple(f"{path.name}.tmp." for path in (self.out, self.manifest, self.failures))
        beside = [path for path in self.out.parent.iterdir() if path.name.startswith(ours)]
        for leftover in [*self.folder.glob("*.tmp.*"), *beside]:
            leftover.unlink()
        for path in [*self.folder.glob(".chunk-*.lock"), *self.folder.glob(_CHANGE_LOCK)]:
            lock = take_lock(path)
            if lock is not None:
                release_lock(path, lock)

    def leave(self) -> None:
        """Remove the folder where nothing came of it."""
        if any(self.folder.glob("*.h5")):
            return
        (self.folder / _LOCK).unlink(missing_ok=True)
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()

    # -- who may write

    @contextmanager
    def locked(self) -> Iterator[None]:
        """The right to write there alone, which a killed run loses; raises `CamoeError` while another run writes."""
        lock = self._lock(shared=False)
        try:
            yield
        finally:
            os.close(lock)

    @contextmanager
    def shared(self) -> Iterator[None]:
        """The right to write there beside others that share it, each of them chunks of its own.

        Raises `CamoeError` while a run writes alone. The first of them tidies up.
        """
        self._make_folder()
        with self.changing():
            lock = self._first() or self._lock(shared=True)
        try:
            yield
        finally:
            os.close(lock)

    def _first(self) -> int | None:
        """The shared right of the first who shares it, after tidying up; `None` where others write."""
        lock = take_lock(self.folder / _LOCK)
        if lock is None:
            return None
        try:
            self.tidy()
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BaseException as error:
            os.close(lock)
            if isinstance(error, BlockingIOError):
                return None
            raise
        return lock

    def _lock(self, *, shared: bool) -> int:
        self._make_folder()
        try:
            lock = take_lock(self.folder / _LOCK, shared=shared)
        except FileNotFoundError:
            lock = None  # the run before us has just removed the folder
        except OSError as error:
            raise self._unwritable(error) from None
        if lock is None:
            raise CamoeError(f"another run is writing to {self.out}; wait for it to end")
        return lock

    def _make_folder(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._unwritable(error) from None

    def _unwritable(self, error: OSError) -> CamoeError:
        return CamoeError(f"{self.out} cannot be written ({error.strerror}); give another place")

    @contextmanager
    def changing(self) -> Iterator[None]:
        """The right to change what writers share (the plan, the checksums, the view of failures); others wait."""
        with brief_lock(self.folder / _CHANGE_LOCK):
            yield

    def claim(self, chunk: int) -> Claim | None:
        """The right to make a chunk; `None` while another has it. A killed run loses it."""
        return self._claim(f".chunk-{chunk:05d}.lock")

    def claim_changes(self) -> Claim | None:
        """The right to add texts, and to tell of videos that are gone, likewise."""
        return self._claim(".texts.lock")

    def _claim(self, name: str) -> Claim | None:
        lock = take_lock(self.folder / name)
        return None if lock is None else Claim(self.folder / name, lock)

    def leave_if_alone(self) -> None:
        """`leave`, unless others write there."""
        lock = take_lock(self.folder / _LOCK) if self.folder.is_dir() else None
        if lock is not None:
            try:
                self.leave()
            finally:
                os.close(lock)


@dataclass(frozen=True)
class Claim:
    """The right to make something, which nobody else has meanwhile."""

    path: Path
    lock: int

    def release(self) -> None:
        release_lock(self.path, self.lock)


def _ours(entry: Path) -> bool:
    names = (FOLDER_MANIFEST, PLAN, "failures.csv", "clip-layers.safetensors")
    is_lock = re.fullmatch(r"(\.chunk-\d+|\.change|\.texts)?\.lock", entry.name) is not None
    return entry.name in names or is_lock or entry.suffix == ".h5" or ".tmp." in entry.name
