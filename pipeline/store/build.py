"""A store that is being made: one writer, shards published one by one, any run continued by the next.

A folder store is its shards. A single file is built from a folder of parts beside it (`NAME.h5.parts`), which is
merged into the file at the end and removed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from ..atomic import atomic_path, write_atomic
from ..errors import CamoeError, RunStoppedError
from .failures import FAILED, Failure, append_failure, read_failures, write_failures
from .manifest import FOLDER_MANIFEST, file_sha256, read_manifest, write_manifest
from .merge import merge_shards
from .reader import FeatureStore
from .schema import Shard, StoreSettings, TextName
from .shard import read_captions
from .writer import shard_bytes

SINGLE_SUFFIXES = (".h5", ".hdf5")
_LOCK = ".lock"
_MERGED = "MERGED"
"""In a folder of parts: the SHA-256 of the file that they were merged into, written before it got its name."""


class StoreBuilder:
    """Writes a store; use as a context manager.

    On entering it takes the store's lock and compares `settings` with what is already there. `adding` allows new
    strategies and streams beside the old. Raises `CamoeError` when another run holds the lock or a setting differs,
    naming both values, before anything is written.
    """

    def __init__(self, out: Path, settings: StoreSettings, *, adding: bool = False) -> None:
        self.out = out
        self.settings = settings
        self.single = out.suffix in SINGLE_SUFFIXES
        self.folder = out.with_name(out.name + ".parts") if self.single else out
        self.failures_path = out.with_name(f"{out.stem}.failures.csv") if self.single else out / "failures.csv"
        self.failures: dict[str, Failure] = {}
        self.known_videos: dict[str, tuple[int, float]] = {}
        """Size and mtime of the source of each video in the store."""
        self._adding = adding
        self._known_texts: dict[TextName, set[tuple[str, str]]] = defaultdict(set)
        self._sums: dict[str, str] = {}
        self._next: dict[str, int] = {}
        self._lock: int | None = None

    def __enter__(self) -> StoreBuilder:
        self._check_place()
        existing = self._existing_shards()
        if existing:
            self._compare(FeatureStore.open(existing).settings)
        self._take_lock()
        try:
            self._finish_merge()
            self._clean_up()
            existing = self._existing_shards()
            self._take_stock(FeatureStore.open(existing) if existing else None)
        except BaseException:
            self._release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._release()

    # -- what is there ------------------------------------------------------------------------------------------------

    def _check_place(self) -> None:
        if self.single and self.out.is_dir():
            raise CamoeError(f"{self.out} is a folder; give a file name, or a folder without {self.out.suffix}")
        if not self.single and self.out.is_file():
            raise CamoeError(f"{self.out} is a file; name the store NAME.h5, or give a folder")
        if not self.single and self.out.is_dir():
            strangers = [entry for entry in self.out.iterdir() if not _ours(entry)]
            if strangers:
                raise CamoeError(f"{self.out} holds other things ({strangers[0].name}); give a new or empty folder")

    def _existing_shards(self) -> list[Path]:
        if self._is_merged():
            return [self.out]
        found = sorted(self.folder.glob("*.h5")) if self.folder.is_dir() else []
        if self.single and self.out.exists():
            found.insert(0, self.out)
        return found

    def _is_merged(self) -> bool:
        """Whether a run was killed after it had merged the parts into the file, and before it removed them."""
        note = self.folder / _MERGED
        return note.exists() and self.out.exists() and note.read_text().strip() == file_sha256(self.out)

    def _compare(self, there: StoreSettings) -> None:
        differences = there.differences(self.settings, ("in the store", "asked for"), ignore=("streams", "strategies"))
        ours, theirs = self.settings.streams or {}, there.streams or {}
        for name in sorted(set(ours) & set(theirs)):
            if ours[name] != theirs[name]:
                differences.append(f"stream {name} is {theirs[name]} in the store and {ours[name]} asked for")
        if not self._adding and theirs and ours:
            for what, new, old in (
                ("streams", set(ours), set(theirs)),
                ("strategies", set(self.settings.strategies or ()), set(there.strategies or ())),
            ):
                if new - old:
                    old_text, new_text = ",".join(sorted(old)), ",".join(sorted(new))
                    differences.append(f"{what} are {old_text} in the store and {new_text} asked for (--into adds)")
        if differences:
            raise CamoeError(
                f"{self.out} was made with other settings: {'; '.join(differences)}; "
                "use those settings, or another --out"
            )

    def _take_lock(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.path.samestat(os.fstat(self._lock), os.stat(self.folder / _LOCK)):
                raise BlockingIOError  # the run before us has just removed this lock with its folder
        except BlockingIOError:
            self._unlock()
            raise CamoeError(f"another run is writing to {self.out}; wait for it to end") from None
        except OSError as error:
            raise CamoeError(f"{self.out} cannot be written ({error.strerror}); give another place") from None

    def _clean_up(self) -> None:
        """Remove what a killed run left half-written, and keep the counts of what it finished."""
        ours = tuple(f"{path.name}.tmp." for path in (self.out, self._manifest, self.failures_path))
        beside = [path for path in self.out.parent.iterdir() if path.name.startswith(ours)]
        for leftover in [*self.folder.glob("*.tmp.*"), *beside]:
            leftover.unlink()
        self._sums = read_manifest(self.folder / FOLDER_MANIFEST)
        shards = {path.name: path for path in self.folder.glob("*.h5")}
        missing = set(self._sums) - set(shards)
        if missing:
            raise CamoeError(
                f"{self.folder} lacks {sorted(missing)[0]}, which its {FOLDER_MANIFEST} lists; "
                "restore it, or take its line out to have it extracted again"
            )
        for name in set(shards) - set(self._sums):
            self._sums[name] = file_sha256(shards[name])

    def _take_stock(self, store: FeatureStore | None) -> None:
        self.failures = read_failures(self.failures_path) | read_failures(self.folder / "failures.csv")
        if store is None:
            return
        self._compare(store.settings)
        if store.video_ids:
            sizes, times = store.video_column("source_size").tolist(), store.video_column("source_mtime").tolist()
            self.known_videos = dict(zip(store.video_ids, zip(sizes, times, strict=True), strict=True))
        for shard in store.shards:
            if shard.kind != "frames":
                captions = read_captions(shard.path)
                for name in shard.text_names:
                    self._known_texts[name] |= set(zip(captions.video_id, captions.id, strict=True))
        for kind in ("frames", "texts", "both"):
            numbers = [int(path.stem[-5:]) for path in self.folder.glob(f"{kind}-?????.h5")]
            self._next[kind] = max(numbers, default=-1) + 1

    def has_texts(self, name: TextName, caption: tuple[str, str]) -> bool:
        """Whether the store has this strategy and stream of a caption, named by (video id, caption id)."""
        return caption in self._known_texts[name]

    @property
    def failed(self) -> set[str]:
        """Ids of videos from which nothing could be decoded."""
        return {failure.id for failure in self.failures.values() if failure.stage == FAILED}

    # -- writing ------------------------------------------------------------------------------------------------------

    def publish(self, shard: Shard) -> None:
        """Add a shard; raises `RunStoppedError` when the disk refuses, with all earlier shards intact."""
        image = shard_bytes(shard)

        def write(path: Path) -> str:
            path.write_bytes(image)
            return hashlib.sha256(image).hexdigest()

        self._publish(shard.kind, write)

    def adopt(self, kind: str, path: Path) -> None:
        """Add a copy of a shard that lies elsewhere; raises as `publish` does."""

        def write(copy: Path) -> str:
            shutil.copyfile(path, copy)
            return file_sha256(copy)

        self._publish(kind, write)

    def _publish(self, kind: str, write: Callable[[Path], str]) -> None:
        number = self._next.get(kind, 0)
        self._next[kind] = number + 1
        path = self.folder / f"{kind}-{number:05d}.h5"
        try:
            with atomic_path(path) as temporary:
                digest = write(temporary)
            self._sums[path.name] = digest
            write_manifest(self.folder / FOLDER_MANIFEST, self._sums)
        except OSError as error:
            raise RunStoppedError(
                f"{path} could not be written ({error.strerror}); the finished shards are intact: "
                "make room and run the same command again"
            ) from error

    def record(self, failure: Failure) -> None:
        """Note a video that could not be read, or only in part."""
        self.failures[failure.id] = failure
        append_failure(self.folder / "failures.csv", failure)

    def forget_failures(self, ids: Sequence[str]) -> None:
        """Take rows back, before their videos are tried again or after they succeeded."""
        for video_id in ids:
            self.failures.pop(video_id, None)
        write_failures(self.folder / "failures.csv", self.failures)

    def finish(self) -> Path:
        """Publish the store under its name: tidy `failures.csv`, and merge the parts of a single file."""
        try:
            write_failures(self.failures_path, self.failures)
            if self.single:
                self._merge()
        except OSError as error:
            raise RunStoppedError(
                f"{self.out} could not be written ({error.strerror}); its parts in {self.folder} are intact: "
                "make room and run the same command again"
            ) from error
        return self.out

    def _merge(self) -> None:
        parts = self._existing_shards()
        if not parts:
            raise CamoeError(
                f"{self.out}: there is nothing to write, for no video could be decoded; see {self.failures_path}"
            )
        if parts != [self.out]:
            self._settle(merge_shards(parts, self.out, self._before_publishing))
        shutil.rmtree(self.folder)

    def _before_publishing(self, digest: str) -> None:
        write_atomic(self.folder / _MERGED, digest)
        self._manifest.unlink(missing_ok=True)

    @property
    def _manifest(self) -> Path:
        return self.out.with_name(self.out.name + ".sha256")

    def _finish_merge(self) -> None:
        """What a run that was killed after its merge left to do: the checksum, and away with the parts."""
        if self._is_merged():
            self._settle(file_sha256(self.out))
        else:
            (self.folder / _MERGED).unlink(missing_ok=True)

    def _settle(self, digest: str) -> None:
        write_manifest(self._manifest, {self.out.name: digest})
        for path in [*self.folder.glob("*.h5"), self.folder / FOLDER_MANIFEST, self.folder / _MERGED]:
            path.unlink(missing_ok=True)

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _release(self) -> None:
        if self.folder.is_dir() and not self._sums and not self.failures:
            # Nothing came of it: leave nothing behind.
            (self.folder / _LOCK).unlink(missing_ok=True)
            if not any(self.folder.iterdir()):
                self.folder.rmdir()
        self._unlock()


def _ours(entry: Path) -> bool:
    names = (FOLDER_MANIFEST, "failures.csv", _LOCK)
    return entry.name in names or entry.suffix == ".h5" or ".tmp." in entry.name
