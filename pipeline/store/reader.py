"""A store of one or many shards, opened for reading."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from functools import cached_property
from os import PathLike
from pathlib import Path

import h5py
import numpy as np

from .content import add_sums, captions_sum
from .notes import merge_notes
from .safe_open import StoreError, checked_dataset, child_group, decode_strings, open_hdf5
from .schema import FULL, FUSION, Captions, TextName, TextTable, broken_rows
from .shard import VIDEO_COLUMNS, ShardIndex, read_index
from .union import JoinedCaptions, joined_settings

StorePaths = str | PathLike[str] | Sequence[str | PathLike[str]]

_BLOCK_BYTES = 16 << 20


def find_shards(paths: StorePaths) -> list[Path]:
    """The HDF5 files behind a file, several, a glob or a folder of shards."""
    listed = [paths] if isinstance(paths, str | PathLike) else list(paths)
    found: list[Path] = []
    for entry in map(Path, listed):
        if entry.is_dir():
            shards = sorted(entry.glob("*.h5"))
            if not shards:
                raise StoreError(f"{entry} holds no .h5 shards; run camoe-extract first")
        elif entry.exists():
            shards = [entry]
        else:
            shards = [Path(name) for name in sorted(glob.glob(str(entry), recursive=True))]
            if not shards:
                raise StoreError(f"{entry} does not exist; {_remedy(entry)}")
        found += [shard for shard in shards if shard not in found]
    if not found:
        raise StoreError("no feature store was given; name a file or folder that camoe-extract wrote")
    return found


def _remedy(missing: Path) -> str:
    if missing.with_name(missing.name + ".parts").is_dir():
        return "its making was not finished: run the same command again"
    return "give a store that camoe-extract wrote"


class FeatureStore:
    """A feature store, opened for reading: one or more shards seen as one table of videos and one of captions.

    Videos are sorted by id and captions by (video, id), whatever the shards. Large arrays are read when asked for.
    """

    def __init__(self, shards: Sequence[ShardIndex]) -> None:
        self.shards = list(shards)
        self.settings = joined_settings(self.shards)
        self._check_videos()

    @classmethod
    def open(cls, paths: StorePaths) -> FeatureStore:
        """Open a file, several, a glob or a folder of shards.

        Raises `StoreError` when a path is not a store, when two shards were made with different settings, or when
        a video or text lies in two of them.
        """
        return cls([read_index(path) for path in find_shards(paths)])

    def _check_videos(self) -> None:
        place: dict[str, Path] = {}
        for shard in self.shards:
            for video_id in shard.video_ids:
                if video_id in place:
                    raise StoreError(
                        f"video {video_id!r} lies in both {place[video_id]} and {shard.path}; give only one of them"
                    )
                place[video_id] = shard.path

    # -- videos -----------------------------------------------------------------------------------------------------

    @cached_property
    def _video_order(self) -> np.ndarray:
        ids = [video_id for shard in self.shards for video_id in shard.video_ids]
        return np.array(sorted(range(len(ids)), key=ids.__getitem__), dtype=np.int64)

    @cached_property
    def video_ids(self) -> list[str]:
        """`N` ids of the videos that have frames, sorted."""
        return sorted(video_id for shard in self.shards for video_id in shard.video_ids)

    @cached_property
    def frame_count(self) -> np.ndarray:
        """`(N,)` int64, valid frames of each video."""
        return self._video_column("frame_count").astype(np.int64)

    @cached_property
    def video_status(self) -> list[str]:
        """`ok` or `damaged` for each of the `N` videos."""
        return decode_strings(self._video_column("status"))

    def frames(self) -> np.ndarray:
        """`(N, T, D)` float16 frame embeddings in the order of `video_ids`, zero past `frame_count`.

        Raises `StoreError` naming a video whose frames are not finite.
        """
        frames = self._video_column("frames")
        broken = broken_rows(frames)
        if len(broken):
            raise StoreError(
                f"{self.shards[0].path}: {len(broken)} videos have frames that are not finite "
                f"(first: {self.video_ids[broken[0]]!r}); extract them again"
            )
        return frames

    def frame_times(self) -> np.ndarray:
        """`(N, T)` float32 seconds, NaN past `frame_count`."""
        return self._video_column("frame_time_s")

    def video_column(self, name: str) -> np.ndarray:
        """One of the small per-video columns: `source`, `source_size`, `source_mtime`, `duration_s`, `status`."""
        return self._video_column(name)

    def _video_column(self, name: str) -> np.ndarray:
        holders = [shard for shard in self.shards if shard.video_ids]
        if not holders:
            raise StoreError(f"{self.shards[0].path} holds no videos; add the store with the frames to --features")
        total = len(self.video_ids)
        position = np.empty(total, np.int64)
        position[self._video_order] = np.arange(total)
        result: np.ndarray | None = None
        start = 0
        for shard in holders:
            with open_hdf5(shard.path) as file:
                dataset = checked_dataset(child_group(file, "videos"), name, *VIDEO_COLUMNS[name])
                if len(dataset) != len(shard.video_ids):
                    raise StoreError(f"{shard.path} has changed while it was read; open the store again")
                if result is None:
                    result = np.empty((total, *dataset.shape[1:]), dataset.dtype)
                if result.shape[1:] != dataset.shape[1:]:
                    raise StoreError(f"{shard.path}: {dataset.name} has shape {dataset.shape}, unlike other shards")
                if dataset.dtype.itemsize > result.dtype.itemsize:
                    result = result.astype(dataset.dtype)
                _read_into(result, dataset, position[start : start + len(dataset)])
                start += len(dataset)
        assert result is not None
        return result

    # -- captions and texts -----------------------------------------------------------------------------------------

    @cached_property
    def _captions(self) -> JoinedCaptions:
        return JoinedCaptions.read([shard for shard in self.shards if shard.kind != "frames"])

    @property
    def has_captions(self) -> bool:
        """Whether any shard holds captions."""
        return any(shard.kind != "frames" for shard in self.shards)

    @property
    def captions(self) -> Captions:
        """All captions as one record, sorted by (video, id)."""
        return self._captions.captions

    @property
    def caption_ids(self) -> list[str]:
        """`M` ids, sorted by (video, id)."""
        return self._captions.captions.id

    @property
    def caption_video_ids(self) -> list[str]:
        """The video of each of the `M` captions; it may be one that has no frames here."""
        return self._captions.captions.video_id

    @property
    def caption_texts(self) -> list[str]:
        """The whole text of each of the `M` captions."""
        return self._captions.captions.text

    @property
    def protocols(self) -> dict[str, np.ndarray]:
        """Per protocol `(M,)` uint8: 0 unused, 1 train, 2 val, 3 test."""
        return self._captions.captions.protocols

    @property
    def shortfall(self) -> dict[str, dict]:
        """Per protocol, what its data set publishes and this store lacks; empty when complete."""
        return self._captions.captions.shortfall

    @cached_property
    def text_names(self) -> list[TextName]:
        """The `(strategy, stream)` pairs that the store holds."""
        return sorted({name for shard in self.shards for name in shard.text_names})

    @property
    def text_notes(self) -> dict[str, dict]:
        """The audit's counts of each `strategy/stream`, over all shards."""
        parts: dict[str, list[dict]] = {}
        for shard in self.shards:
            for name, value in shard.text_notes.items():
                parts.setdefault(name, []).append(value)
        return {name: merge_notes(parts[name]) for name in sorted(parts)}

    def text_table(self, strategy: str, stream: str) -> TextTable:
        """The sentences of one stream read by one strategy, rows in the order of `caption_ids`.

        The stream `fusion`, and the strategy `full` of any stream, are the whole captions. Raises `StoreError`
        naming what there is when the store lacks it.
        """
        wanted = (FULL, FUSION) if FUSION == stream or strategy == FULL else (strategy, stream)
        if wanted not in self.text_names:
            raise StoreError(
                f"{self.shards[0].path} has no texts {'/'.join(wanted)}; it has "
                f"{', '.join('/'.join(name) for name in self.text_names) or 'none'} "
                "(camoe-extract --captions FILE --into STORE adds more)"
            )
        return self._captions.join_table(wanted)

    @cached_property
    def content_hash(self) -> str:
        """64 hexadecimal digits that tell what the store holds, the same however it is cut into shards."""
        sums = [total for shard in self.shards for name, total in shard.sums.items() if name != "captions"]
        if self.has_captions:
            sums.append(captions_sum(self._captions.captions))
        return add_sums(sums)


def _read_into(result: np.ndarray, dataset: h5py.Dataset, position: np.ndarray) -> None:
    """Rows of a data set to their places, block by block where they do not lie in one piece."""
    if len(position) and (np.diff(position) == 1).all():
        dataset.read_direct(result, dest_sel=np.s_[position[0] : position[-1] + 1])
        return
    rows = max(1, _BLOCK_BYTES * len(dataset) // max(1, dataset.nbytes))
    for start in range(0, len(dataset), rows):
        block = dataset[start : start + rows]
        result[position[start : start + len(block)]] = block
