"""Reading one shard, and a store of many."""

from __future__ import annotations

import glob
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from .content import add_sums, captions_sum
from .safe_open import (
    StoreError,
    checked_dataset,
    child_group,
    open_hdf5,
    read_attribute,
    read_column,
    read_strings,
)
from .schema import FULL, FUSION, SCHEMA_VERSION, Captions, StoreSettings, TextName, TextTable
from .writer import JSON_SETTINGS

StorePaths = str | PathLike[str] | Sequence[str | PathLike[str]]


@dataclass(frozen=True)
class ShardIndex:
    """What a shard says of itself, without its big arrays."""

    path: Path
    settings: StoreSettings
    kind: str
    video_ids: list[str]
    text_names: list[TextName]
    sums: dict[str, str]
    """Content sums: `videos`, and one per `strategy/stream`."""
    text_notes: dict[str, dict]


def read_index(path: Path) -> ShardIndex:
    """The index of one shard; raises `StoreError` for a file that is not one."""
    with open_hdf5(path) as file:
        schema = read_attribute(file, "schema")
        if schema != SCHEMA_VERSION:
            raise StoreError(
                f"{path} is not a feature store of this version (schema {schema!r}, expected {SCHEMA_VERSION!r}); "
                "give one that camoe-extract wrote"
            )
        videos = child_group(file, "videos")
        sums, notes = {}, {}
        if videos is not None:
            sums["videos"] = str(read_attribute(videos, "content_sum", "0"))
        names = list(_text_names(file))
        for name in names:
            group = file["texts"]["/".join(name)]
            sums["/".join(name)] = str(read_attribute(group, "content_sum", "0"))
            notes["/".join(name)] = json.loads(read_attribute(group, "notes", "{}"))
        return ShardIndex(
            path=path,
            settings=_read_settings(file),
            kind=str(read_attribute(file, "kind")),
            video_ids=read_strings(videos, "id") if videos is not None else [],
            text_names=names,
            sums=sums,
            text_notes=notes,
        )


def read_captions(path: Path) -> Captions:
    """The captions of a shard that holds texts."""
    with open_hdf5(path) as file:
        group = child_group(file, "captions")
        if group is None:
            raise StoreError(f"{path} holds no captions")
        protocols, shortfall = {}, {}
        found = child_group(file, "protocols")
        if found is not None:
            for name in found:
                protocols[name] = read_column(found, name, "u")
                shortfall[name] = json.loads(read_attribute(found[name], "shortfall", "{}"))
        columns = {name: read_strings(group, name) for name in ("id", "video_id", "text")}
        return Captions(**columns, protocols=protocols, shortfall=shortfall)


def read_text_table(path: Path, name: TextName) -> TextTable:
    """One strategy and stream of a shard that holds texts."""
    with open_hdf5(path) as file:
        group, rows = _table_groups(file, name)
        return TextTable(
            sentence=read_strings(group, "sentence"),
            embedding=read_column(group, "embedding", "f", 2),
            row=read_column(rows, name[1], "i"),
        )


def _table_groups(file: h5py.File, name: TextName) -> tuple[h5py.Group, h5py.Group]:
    places = []
    for top in ("texts", "captions"):
        group: h5py.Group | None = file
        for part in (top, *name) if top == "texts" else (top, name[0]):
            group = child_group(group, part) if group is not None else None
        if group is None:
            raise StoreError(f"{file.filename} has no texts {'/'.join(name)}; the file is not a whole store")
        places.append(group)
    return places[0], places[1]


def _text_names(file: h5py.File) -> Iterator[TextName]:
    texts = child_group(file, "texts")
    for strategy in texts if texts is not None else ():
        streams = child_group(texts, strategy)
        for stream in streams if streams is not None else ():
            if child_group(streams, stream) is not None:
                yield strategy, stream


def _read_settings(file: h5py.File) -> StoreSettings:
    values: dict[str, Any] = {}
    for item in fields(StoreSettings):
        value = read_attribute(file, item.name)
        if value is not None:
            values[item.name] = json.loads(value) if item.name in JSON_SETTINGS else value
    if "strategies" in values:
        values["strategies"] = tuple(values["strategies"])
    try:
        return StoreSettings(**values)
    except TypeError:
        raise StoreError(f"{file.filename} does not say how it was made; the file is not a whole store") from None


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
                raise StoreError(f"{entry} does not exist; give a store that camoe-extract wrote")
        found += [shard for shard in shards if shard not in found]
    if not found:
        raise StoreError("no feature store was given; name a file or folder that camoe-extract wrote")
    return found


class FeatureStore:
    """A feature store, opened for reading: one or more shards seen as one table of videos and one of captions.

    Videos are sorted by id and captions by (video, id), whatever the shards. Large arrays are read when asked for.
    """

    def __init__(self, shards: Sequence[ShardIndex]) -> None:
        self.shards = list(shards)
        self.settings = _merge_settings(self.shards)
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
        return self._video_column("frame_count", "iu").astype(np.int64)

    @cached_property
    def video_status(self) -> list[str]:
        """`ok` or `damaged` for each of the `N` videos."""
        return [value.decode() for value in self._video_column("status", "S").tolist()]

    def frames(self) -> np.ndarray:
        """`(N, T, D)` float16 frame embeddings in the order of `video_ids`, zero past `frame_count`."""
        return self._video_column("frames", "f", 3)

    def frame_times(self) -> np.ndarray:
        """`(N, T)` float32 seconds, NaN past `frame_count`."""
        return self._video_column("frame_time_s", "f", 2)

    def video_column(self, name: str, kinds: str = "Sif") -> np.ndarray:
        """One of the small per-video columns: `source`, `source_size`, `source_mtime`, `duration_s`, `status`."""
        return self._video_column(name, kinds)

    def _video_column(self, name: str, kinds: str, ndim: int = 1) -> np.ndarray:
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
                dataset = checked_dataset(child_group(file, "videos"), name, kinds, ndim)
                if result is None:
                    result = np.empty((total, *dataset.shape[1:]), dataset.dtype)
                if result.shape[1:] != dataset.shape[1:]:
                    raise StoreError(f"{shard.path}: {dataset.name} has shape {dataset.shape}, unlike other shards")
                if dataset.dtype.itemsize > result.dtype.itemsize:
                    result = result.astype(dataset.dtype)
                result[position[start : start + len(dataset)]] = dataset[()]
                start += len(dataset)
        assert result is not None
        return result

    # -- captions and texts -----------------------------------------------------------------------------------------

    @cached_property
    def _captions(self) -> _JoinedCaptions:
        return _JoinedCaptions.read([shard for shard in self.shards if shard.kind != "frames"])

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
        """The audit's counts of the first shard that has each `strategy/stream`."""
        notes: dict[str, dict] = {}
        for shard in self.shards:
            for name, value in shard.text_notes.items():
                notes.setdefault(name, value)
        return notes

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
        sums = [total for shard in self.shards for total in shard.sums.values()]
        if self.has_captions:
            sums.append(captions_sum(self._captions.captions))
        return add_sums(sums)


@dataclass(frozen=True)
class _JoinedCaptions:
    """Captions of several shards as one sorted table; a caption may recur where shards hold different texts of it."""

    captions: Captions
    position: dict[Path, np.ndarray]
    """Per shard, the place of each of its captions in the joined table."""
    text_names: dict[Path, list[TextName]]

    @classmethod
    def read(cls, shards: Sequence[ShardIndex]) -> _JoinedCaptions:
        parts = {shard.path: read_captions(shard.path) for shard in shards}
        text_of: dict[tuple[str, str], str] = {}
        for path, part in parts.items():
            for video_id, caption_id, text in zip(part.video_id, part.id, part.text, strict=True):
                if text_of.setdefault((video_id, caption_id), text) != text:
                    raise StoreError(
                        f"caption {caption_id!r} of video {video_id!r} reads differently in {path} and in another "
                        "shard; they were made from different caption files"
                    )
        keys = sorted(text_of)
        place = {key: index for index, key in enumerate(keys)}
        position = {
            path: np.array([place[key] for key in zip(part.video_id, part.id, strict=True)], np.int64)
            for path, part in parts.items()
        }
        protocols: dict[str, np.ndarray] = {}
        shortfall: dict[str, dict] = {}
        for path, part in parts.items():
            for name, codes in part.protocols.items():
                protocols.setdefault(name, np.zeros(len(keys), np.uint8))[position[path]] = codes
            shortfall |= part.shortfall
        captions = Captions(
            id=[caption_id for _, caption_id in keys],
            video_id=[video_id for video_id, _ in keys],
            text=[text_of[key] for key in keys],
            protocols=protocols,
            shortfall=shortfall,
        )
        return cls(captions, position, {shard.path: shard.text_names for shard in shards})

    def join_table(self, name: TextName) -> TextTable:
        holders = [path for path, names in self.text_names.items() if name in names]
        row = np.full(len(self.captions.id), -1, np.int64)
        sentences: dict[str, int] = {}
        embeddings: list[np.ndarray] = []
        for path in holders:
            table = read_text_table(path, name)
            if (row[self.position[path]] >= 0).any():
                raise StoreError(f"texts {'/'.join(name)} of a caption lie in {path} and in another shard; give one")
            before = len(sentences)
            local = np.array([sentences.setdefault(text, len(sentences)) for text in table.sentence], np.int64)
            embeddings.append(table.embedding[local >= before])
            row[self.position[path]] = local[table.row]
        if (row < 0).any():
            raise StoreError(
                f"{int((row < 0).sum())} of {len(row)} captions have no texts {'/'.join(name)} "
                f"(first: {self.captions.id[int(np.argmin(row))]!r}); run the same camoe-extract command again"
            )
        return TextTable(list(sentences), np.concatenate(embeddings), row)


def _merge_settings(shards: Sequence[ShardIndex]) -> StoreSettings:
    first = shards[0].settings
    merged = dict.fromkeys((item.name for item in fields(StoreSettings)), None) | {"versions": first.versions}
    for shard in shards:
        differences = first.differences(
            shard.settings, ("in the first", "in the second"), ignore=("strategies", "streams", "captions_sha256")
        )
        if differences:
            raise StoreError(
                f"{shards[0].path} and {shard.path} were made with different settings: {'; '.join(differences)}"
            )
        for item in fields(StoreSettings):
            if merged[item.name] is None:
                merged[item.name] = getattr(shard.settings, item.name)
    streams = [dict(shard.settings.streams) for shard in shards if shard.settings.streams is not None]
    joined: dict[str, str] = {}
    for definition in streams:
        for name, tags in definition.items():
            if joined.setdefault(name, tags) != tags:
                raise StoreError(f"stream {name!r} means {joined[name]} in one shard and {tags} in another")
    merged["streams"] = joined if streams else None
    strategies = [shard.settings.strategies for shard in shards if shard.settings.strategies is not None]
    merged["strategies"] = tuple(dict.fromkeys(name for part in strategies for name in part)) or None
    return StoreSettings(**merged)  # type: ignore[arg-type]
