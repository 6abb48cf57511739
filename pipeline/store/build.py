"""A store that is being made: shards published one by one, any run continued by the next."""

from __future__ import annotations

import shutil
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from ..checksum import file_sha256
from ..errors import CamoeError, RunStoppedError
from .agreement import refuse_unlike
from .failures import FIRST_VERSION, write_failures
from .inventory import Inventory
from .manifest import read_manifest
from .place import Place
from .plan import Plan, chunk_of_name
from .publish import list_shards, publish_file, publish_shard
from .reader import FeatureStore
from .schema import Shard, StoreSettings, no_videos
from .single_file import write_single_file

CHANGES = "changes"
"""How shards are called that hold nothing, and only tell what became of others."""


class StoreBuilder:
    """Writes a store; use as a context manager.

    On entering it takes the store's lock and compares `settings` with what is already there. `adding` allows new
    strategies and streams beside the old; `beside_others` lets several such builders into one store at once, each of
    which makes chunks of its own (`Place.claim`). Raises `CamoeError` when another run holds the lock or a setting
    differs, naming both values, before anything is written. `store` is what was there on entering, and `inventory` its
    list.
    """

    def __init__(
        self, out: Path, settings: StoreSettings, *, adding: bool = False, beside_others: bool = False
    ) -> None:
        self.place = Place.of(out)
        self.settings = settings
        self.store: FeatureStore | None = None
        self.inventory = Inventory()
        self._adding = adding
        self._beside_others = beside_others
        self._next_number: dict[str, int] = {}
        self._latest = self._latest_texts = 0
        self._is_shown = True
        self._held = ExitStack()

    def __enter__(self) -> StoreBuilder:
        self.place.check()
        existing = self.place.shards()
        before = FeatureStore.open(existing) if existing else None
        if before is not None:
            self._refuse_unlike(before)
        with ExitStack() as held:
            if self._beside_others:
                held.callback(self.place.leave_if_alone)
                held.enter_context(self.place.shared())
            else:
                held.enter_context(self.place.locked())
                held.callback(self._leave_nothing)
                self.place.tidy()
            _ = self._counted()
            existing = self.place.shards()
            if existing:
                self._take_stock(FeatureStore.open(existing, before))
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
        """The checksums of the shards, those included that a killed run or worker published and did not list."""
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
        self._latest = max(shard.order for shard in store.shards)
        self._latest_texts = max((shard.order for shard in store.shards if shard.kind != "frames"), default=0)
        if store.failures and all(shard.version == FIRST_VERSION for shard in store.shards):
            self._record_in_shard(store)

    def _record_in_shard(self, store: FeatureStore) -> None:
        """A store of version 1 told its failures in a file; from now on the shards do."""
        settings = replace(store.settings, streams=None, strategies=None, tagger=None, captions_sha256=None)
        self.publish(Shard(settings, videos=no_videos(settings), failures=tuple(store.failures.values())))
        self.look_again()

    def look_again(self) -> None:
        """Read anew what is there, where another may have written meanwhile."""
        shards = self.place.shards()
        self._next_number.clear()
        if shards:
            self._take_stock(FeatureStore.open(shards, self.store))

    # -- writing ------------------------------------------------------------------------------------------------------

    def publish(self, shard: Shard) -> None:
        """Add a shard; raises `RunStoppedError` when the disk refuses, with all earlier shards intact."""
        self._is_shown = False
        publish_shard(self.place, self._name(_stem(shard)), replace(shard, order=self._next_order(shard)))

    def _next_order(self, shard: Shard) -> int:
        """Later than all that it may speak of: shards of texts only, where it is one; so what else there is, and came
        meanwhile, does not matter."""
        order = 1 + (self._latest_texts if shard.videos is None else self._latest)
        self._latest = max(self._latest, order)
        if shard.captions is not None:
            self._latest_texts = order
        return order

    def adopt(self, kind: str, path: Path) -> None:
        """Add a copy of a shard that lies elsewhere; raises as `publish` does."""

        def write(copy: Path) -> str:
            shutil.copyfile(path, copy)
            return file_sha256(copy)

        self._is_shown = False
        publish_file(self.place, self._name(kind), write)

    def _name(self, stem: str) -> str:
        """A name that no shard has, and no chunk of the plan will have."""
        if stem not in self._next_number:
            names = [path.name for path in self.place.folder.glob("*.h5")]
            numbers = [chunk_of_name(name, stem) for name in names]
            planned = Plan.read(self.place).next_chunk - 1 if stem == "frames" else -1
            self._next_number[stem] = 1 + max([planned, *(number for number in numbers if number is not None)])
        number = self._next_number[stem]
        self._next_number[stem] = number + 1
        return f"{stem}-{number:05d}.h5"

    def expect_shards(self) -> None:
        """Others will publish into the store's folder; what failed is shown at the end, however it comes."""
        self._is_shown = False

    def count(self, path: Path) -> None:
        """List a shard that was written into the folder by other means."""
        list_shards(self.place, {path.name: file_sha256(path)})

    def finish(self) -> FeatureStore:
        """Publish the store under its name: merge the parts of a single file, and show the failures."""
        parts = self.place.shards()
        if not parts:
            raise CamoeError(f"{self.place.out}: there is nothing to write, neither videos nor captions")
        try:
            if not self._beside_others:
                self.place.tidy()
            if not self.place.is_single:
                list_shards(self.place, self._counted())
            elif parts != [self.place.out]:
                self.place.settle_merge(self._merge(parts))
            elif not self.place.manifest.exists():
                self.place.settle_merge(file_sha256(self.place.out))
            store = self._show_failures()
            if self.place.is_single:
                shutil.rmtree(self.place.folder)
        except OSError as error:
            raise RunStoppedError(
                f"{error.filename or self.place.out} could not be written ({error.strerror}); its parts in "
                f"{self.place.folder} are intact: make room and run the same command again"
            ) from error
        return store

    def _merge(self, parts: list[Path]) -> str:
        return write_single_file(parts, self.place.out, self.place.announce_merge, keep_dropped=True)

    def finish_part(self) -> FeatureStore | None:
        """What is there after a part, its failures shown; a single file is merged when all parts are done.

        `None` where nothing is there.
        """
        parts = self.place.shards()
        if not parts:
            return None
        list_shards(self.place, self._counted())
        return FeatureStore.open(parts, self.store) if self.place.is_single else self._show_failures()

    def _show_failures(self) -> FeatureStore:
        with self.place.changing() if self._beside_others else nullcontext():
            store = FeatureStore.open(self.place.shards(), self.store)
            write_failures(self.place.failures, store.failures)
        self._is_shown = True
        return store

    def _leave_nothing(self) -> None:
        if self.place.folder.is_dir():
            self.place.leave()


def _stem(shard: Shard) -> str:
    is_empty = not (shard.videos and shard.videos.id) and not (shard.captions and shard.captions.id)
    return CHANGES if is_empty else shard.kind
