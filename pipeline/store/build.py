"""A store that is being made: one writer, shards published one by one, any run continued by the next."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from ..atomic import atomic_path
from ..checksum import file_sha256
from ..errors import CamoeError, RunStoppedError
from .agreement import refuse_unlike
from .failures import FIRST_VERSION, write_failures
from .inventory import Inventory
from .manifest import read_manifest, write_manifest
from .place import Place
from .reader import FeatureStore
from .schema import Shard, StoreSettings, no_videos
from .single_file import write_single_file
from .writer import shard_bytes


class StoreBuilder:
    """Writes a store; use as a context manager.

    On entering it takes the store's lock and compares `settings` with what is already there. `adding` allows new
    strategies and streams beside the old. Raises `CamoeError` when another run holds the lock or a setting differs,
    naming both values, before anything is written. `store` is what was there on entering, and `inventory` its list.
    """

    def __init__(self, out: Path, settings: StoreSettings, *, adding: bool = False) -> None:
        self.place = Place.of(out)
        self.settings = settings
        self.store: FeatureStore | None = None
        self.inventory = Inventory()
        self._adding = adding
        self._sums: dict[str, str] = {}
        self._next_number: dict[str, int] = {}
        self._next_order = 1
        self._is_shown = True
        self._held = ExitStack()

    def __enter__(self) -> StoreBuilder:
        self.place.check()
        existing = self.place.shards()
        if existing:
            self._refuse_unlike(FeatureStore.open(existing))
        with ExitStack() as held:
            held.enter_context(self.place.locked())
            held.callback(self._leave_nothing)
            self.place.tidy()
            self._sums = self._counted()
            existing = self.place.shards()
            if existing:
                self._take_stock(FeatureStore.open(existing))
            self._held = held.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._is_shown and not self.place.is_single:
            with suppress(OSError):
                self._show_failures()
        self._held.close()

    # -- what is there ------------------------------------------------------------------------------------------------

    def _refuse_unlike(self, store: FeatureStore) -> None:
        refuse_unlike(self.place.out, store.settings, self.settings, adding=self._adding)

    def _counted(self) -> dict[str, str]:
        """The checksums of the shards, those included that a killed run published and did not list."""
        sums = read_manifest(self.place.parts_manifest)
        shards = {path.name: path for path in self.place.folder.glob("*.h5")}
        missing = set(sums) - set(shards)
        if missing:
            raise CamoeError(
                f"{self.place.folder} lacks {sorted(missing)[0]}, which its {self.place.parts_manifest.name} lists; "
                "restore it, or take its line out to have it extracted again"
            )
        return sums | {name: file_sha256(shards[name]) for name in set(shards) - set(sums)}

    def _take_stock(self, store: FeatureStore) -> None:
        self._refuse_unlike(store)
        self.store, self.inventory = store, Inventory.of(store)
        self._next_order = 1 + max(shard.order for shard in store.shards)
        for kind in ("frames", "texts", "both"):
            numbers = [int(path.stem[-5:]) for path in self.place.folder.glob(f"{kind}-?????.h5")]
            self._next_number[kind] = max(numbers, default=-1) + 1
        if store.failures and all(shard.version == FIRST_VERSION for shard in store.shards):
            self._record_in_shard(store)

    def _record_in_shard(self, store: FeatureStore) -> None:
        """A store of version 1 told its failures in a file; from now on the shards do."""
        settings = replace(store.settings, streams=None, strategies=None, tagger=None, captions_sha256=None)
        self.publish(Shard(settings, videos=no_videos(settings), failures=tuple(store.failures.values())))

    # -- writing ------------------------------------------------------------------------------------------------------

    def publish(self, shard: Shard) -> None:
        """Add a shard; raises `RunStoppedError` when the disk refuses, with all earlier shards intact."""
        image = shard_bytes(replace(shard, order=self._next_order))
        self._next_order += 1

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
        number = self._next_number.get(kind, 0)
        self._next_number[kind] = number + 1
        path = self.place.folder / f"{kind}-{number:05d}.h5"
        try:
            with atomic_path(path) as temporary:
                digest = write(temporary)
            self._is_shown = False
            self._sums[path.name] = digest
            write_manifest(self.place.parts_manifest, self._sums)
        except OSError as error:
            raise RunStoppedError(
                f"{path} could not be written ({error.strerror}); the finished shards are intact: "
                "make room and run the same command again"
            ) from error

    def count(self, path: Path) -> None:
        """List a shard that was written into the folder by other means."""
        self._sums[path.name] = file_sha256(path)
        write_manifest(self.place.parts_manifest, self._sums)

    def finish(self) -> FeatureStore:
        """Publish the store under its name: merge the parts of a single file, and show the failures."""
        parts = self.place.shards()
        if not parts:
            raise CamoeError(f"{self.place.out}: there is nothing to write, neither videos nor captions")
        try:
            if self.place.is_single and parts != [self.place.out]:
                self.place.settle_merge(write_single_file(parts, self.place.out, self.place.announce_merge))
            store = self._show_failures()
            if self.place.is_single:
                shutil.rmtree(self.place.folder)
        except OSError as error:
            raise RunStoppedError(
                f"{error.filename or self.place.out} could not be written ({error.strerror}); its parts in "
                f"{self.place.folder} are intact: make room and run the same command again"
            ) from error
        return store

    def _show_failures(self) -> FeatureStore:
        store = FeatureStore.open(self.place.shards())
        write_failures(self.place.failures, store.failures)
        self._is_shown = True
        return store

    def _leave_nothing(self) -> None:
        if self.place.folder.is_dir() and not self._sums:
            self.place.leave()
