"""Reading one shard; everything that is believed of a file is checked here, once."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..errors import CamoeError
from .safe_open import (
    StoreError,
    checked_dataset,
    child_group,
    decode_strings,
    has_attribute,
    open_hdf5,
    read_attribute,
    read_column,
    read_json_attribute,
    read_strings,
)
from .schema import (
    DAMAGED,
    FAILED,
    OK,
    PARTIAL,
    READABLE_VERSIONS,
    SCHEMA_VERSION,
    CaptionKey,
    Captions,
    Failure,
    Removed,
    StoreSettings,
    TextName,
    TextTable,
)
from .strings import CodedStrings, StoredStrings, Strings, check_text
from .writer import JSON_SETTINGS

VIDEO_COLUMNS: dict[str, tuple[str, int]] = {
    "id": ("S", 1),
    "source": ("S", 1),
    "status": ("S", 1),
    "source_size": ("i", 1),
    "source_mtime": ("f", 1),
    "duration_s": ("f", 1),
    "frame_count": ("i", 1),
    "frames": ("f", 3),
    "frame_time_s": ("f", 2),
    "fingerprint": ("S", 1),
}
"""The data sets of `/videos`: kind of numpy type, and rank. `fingerprint` is missing from files of version 1."""

_KINDS = {"frames": (True, False), "texts": (False, True), "both": (True, True)}
_MAX_FRAMES = 1_000_000


@dataclass(frozen=True)
class ShardIndex:
    """What a shard says of itself, without its big arrays."""

    path: Path
    version: str
    settings: StoreSettings
    kind: str
    order: int
    video_ids: Strings
    failures: tuple[Failure, ...]
    removed: Removed
    text_names: list[TextName]
    has_tokens: bool
    sums: dict[str, str]
    """Content sums: `videos`, `captions`, `tokens`, and one per `strategy/stream`."""
    text_notes: dict[str, dict]
    stamp: tuple[int, ...] = ()
    """Tells whether the file is still the one that was read."""


def file_stamp(path: Path) -> tuple[int, ...]:
    """Of a file as it is now, empty where it cannot be seen; another file, or a changed one, has another."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def read_index(path: Path) -> ShardIndex:
    """The index of one shard; raises `StoreError` for a file that is not one."""
    stamp = file_stamp(path)
    with open_hdf5(path) as file:
        schema = read_attribute(file, "schema")
        if schema not in READABLE_VERSIONS:
            raise StoreError(
                f"{path} is not a feature store of this version (schema {schema!r}, expected {SCHEMA_VERSION!r}); "
                "give one that camoe-extract wrote"
            )
        tokens = child_group(file, "tokens")
        settings = _read_settings(file)
        videos, captions = child_group(file, "videos"), child_group(file, "captions")
        kind = str(read_attribute(file, "kind"))
        if _KINDS.get(kind) != (videos is not None, captions is not None):
            raise StoreError(f"{path} is of kind {kind!r} and does not hold just that; the file is not a whole store")
        if tokens is not None and captions is None:
            raise StoreError(f"{path} has word tokens and no captions; the file is not a whole store")
        sums, notes = {}, {}
        if videos is not None:
            sums["videos"] = _read_sum(videos)
        if captions is not None:
            sums["captions"] = _read_sum(captions)
        if tokens is not None:
            sums["tokens"] = _read_sum(tokens)
        names = list(_text_names(file))
        for name in names:
            group, _ = _table_groups(file, name)
            sums["/".join(name)] = _read_sum(group)
            notes["/".join(name)] = read_json_attribute(group, "notes", dict)
        return ShardIndex(
            path=path,
            version=str(schema),
            settings=settings,
            kind=kind,
            order=_read_order(file),
            video_ids=_read_video_ids(videos, settings) if videos is not None else Strings.of([]),
            failures=_read_failures(file),
            removed=_read_removed(file),
            text_names=names,
            has_tokens=tokens is not None,
            sums=sums,
            text_notes=notes,
            stamp=stamp,
        )


def _read_sum(group: h5py.Group) -> str:
    value = str(read_attribute(group, "content_sum", "0"))
    if not re.fullmatch("[0-9a-f]{1,64}", value):
        raise StoreError(f"{group.file.filename}: the content sum of {group.name} is none; the file is not sound")
    return value


def _read_order(file: h5py.File) -> int:
    order = read_attribute(file, "order", 0)
    if not isinstance(order, int) or order < 0:
        raise StoreError(f"{file.filename} has the order {order!r}, which is no number; the file is not a sound store")
    return order


def _read_failures(file: h5py.File) -> tuple[Failure, ...]:
    group = child_group(file, "failures")
    if group is None:
        return ()
    columns = [read_strings(group, name) for name in ("id", "path", "stage", "reason")]
    if len(set(map(len, columns))) > 1 or not set(columns[2]) <= {FAILED, PARTIAL}:
        raise StoreError(f"{file.filename}: /failures does not fit together; the file is not a sound store")
    return tuple(Failure(*row) for row in zip(*columns, strict=True))


def _read_removed(file: h5py.File) -> Removed:
    group = child_group(file, "removed")
    if group is None:
        return Removed()
    owners, ids = read_strings(group, "caption_video_ids"), read_strings(group, "caption_ids")
    if len(owners) != len(ids):
        raise StoreError(f"{file.filename}: /removed does not fit together; the file is not a sound store")
    keys: list[CaptionKey] = list(zip(owners, ids, strict=True))
    dropped = tuple(read_strings(group, "dropped")) if "dropped" in group else ()
    return Removed(tuple(read_strings(group, "videos")), tuple(keys), dropped)


def video_dataset(group: h5py.Group | None, name: str) -> h5py.Dataset | np.ndarray:
    """A column of `/videos`; the fingerprints that a file of version 1 does not have are empty."""
    if name == "fingerprint" and group is not None and name not in group:
        return np.zeros(len(checked_dataset(group, "id", *VIDEO_COLUMNS["id"])), "S1")
    return checked_dataset(group, name, *VIDEO_COLUMNS[name])


def _read_video_ids(group: h5py.Group, settings: StoreSettings) -> Strings:
    """The ids, after a look at all columns."""
    where = group.file.filename
    columns = {name: video_dataset(group, name) for name in VIDEO_COLUMNS}
    lengths = {len(dataset) for dataset in columns.values()}
    frames, times = columns["frames"].shape, columns["frame_time_s"].shape
    if len(lengths) > 1 or frames[:2] != times or frames[2] != settings.embed_dim:
        raise StoreError(
            f"{where}: the columns of /videos do not fit each other (frames {frames}, frame_time_s {times}, embed_dim "
            f"{settings.embed_dim}); the file is not a sound store"
        )
    ids, count = Strings.of(columns["id"][()]), columns["frame_count"][()]
    outside = (count < 1) | (count > frames[1])
    if outside.any():
        raise StoreError(
            f"{where}: video {ids[int(outside.argmax())]!r} counts {int(count[outside.argmax()])} frames of "
            f"{frames[1]}; the file is not a sound store"
        )
    strange = set(decode_strings(np.unique(columns["status"][()]))) - {OK, DAMAGED}
    if strange:
        raise StoreError(f"{where}: there is no status {min(strange)!r} of a video; the file is not a sound store")
    return ids


@dataclass(frozen=True)
class CaptionKeys:
    """What names the `M` captions of a shard, and their subsets; their texts are left in the file, and their ids, too,
    until they are asked for. `ascend` tells whether they stand sorted by (video, id), and none of them twice."""

    id: Strings
    video_id: CodedStrings
    protocols: dict[str, np.ndarray]
    shortfall: dict[str, dict]
    ascend: bool


def read_caption_keys(path: Path) -> CaptionKeys:
    """Ids, videos and subsets of the captions of a shard that holds texts."""
    with open_hdf5(path) as file:
        group = _caption_group(file)
        protocols, shortfall = {}, {}
        found = child_group(file, "protocols")
        if found is not None:
            for name in found:
                protocols[name] = read_column(found, name, "u")
                shortfall[name] = read_json_attribute(found[name], "shortfall", dict)
        column, owners = read_column(group, "id", "S"), _coded(read_column(group, "video_id", "S"))
        check_text(column)
        ids = StoredStrings(len(column), _CaptionIds(path))
        texts = range(len(checked_dataset(group, "text", "S")))
        with as_damage(path):
            _ = Captions(ids, owners, texts, protocols)  # type: ignore[arg-type]  # their lengths are compared
        codes = owners.codes
        ascend = (codes[1:] > codes[:-1]) | ((codes[1:] == codes[:-1]) & (column[1:] > column[:-1]))
        return CaptionKeys(ids, owners, protocols, shortfall, bool(ascend.all()))


@dataclass(frozen=True)
class _CaptionIds:
    """Reads the ids of a shard's captions."""

    path: Path

    def __call__(self, rows: np.ndarray | None) -> Strings:
        with open_hdf5(self.path) as file:
            found = Strings.of(caption_ids(file)[()])
        return found if rows is None else found.take(rows)


def read_captions(path: Path) -> Captions:
    """The captions of a shard that holds texts."""
    keys = read_caption_keys(path)
    with open_hdf5(path) as file:
        texts = Strings.of(read_column(_caption_group(file), "text", "S"))
    return Captions(keys.id, keys.video_id, texts, keys.protocols, keys.shortfall)


def caption_ids(file: h5py.File) -> h5py.Dataset:
    """The column of the captions' ids."""
    return checked_dataset(_caption_group(file), "id", "S")


def caption_texts(file: h5py.File) -> h5py.Dataset:
    """The column of the captions' texts."""
    return checked_dataset(_caption_group(file), "text", "S")


def _caption_group(file: h5py.File) -> h5py.Group:
    group = child_group(file, "captions")
    if group is None:
        raise StoreError(f"{file.filename} holds no captions")
    return group


def _coded(column: np.ndarray) -> CodedStrings:
    """A column in which the same value stands many times, mostly together."""
    starts = np.concatenate([np.zeros(min(1, len(column)), np.int64), 1 + np.flatnonzero(column[1:] != column[:-1])])
    values = column[starts]
    runs = Strings.of(values)
    if (values[1:] > values[:-1]).all():
        distinct, codes = runs, np.arange(len(runs), dtype=np.int32)
    else:
        distinct = Strings.of(np.unique(values))
        codes = distinct.find(runs).astype(np.int32)
    return CodedStrings(distinct, np.repeat(codes, np.diff(np.append(starts, len(column)))))


def frames_row_shape(path: Path) -> tuple[int, int]:
    """`(T, D)` of a shard that holds frames, from the header."""
    with open_hdf5(path) as file:
        _, frames, width = video_dataset(child_group(file, "videos"), "frames").shape
        return int(frames), int(width)


def text_table_shape(path: Path, name: TextName) -> tuple[int, int]:
    """`(U, D)` of one strategy and stream, from the header."""
    with open_hdf5(path) as file:
        rows, width = checked_dataset(_table_groups(file, name)[0], "embedding", "f", 2).shape
        return rows, width


def read_text_table(path: Path, name: TextName, room: np.ndarray | None = None) -> TextTable:
    """One strategy and stream of a shard that holds texts; `room (U, D)` float16 is where its embeddings go.

    Its sentences are read when one is asked for.
    """
    with open_hdf5(path) as file:
        table = open_table(file, name)
        row: np.ndarray = table.row[()]
        if room is None:
            room = np.empty(table.embedding.shape, np.float16)
        if room.size:
            table.embedding.read_direct(room)
        with as_damage(path):
            return TextTable(StoredStrings(len(table.sentence), _Sentences(path, name)), room, row)


@dataclass(frozen=True)
class OpenTable:
    """The data sets of one strategy and stream in a file that is open; `row` is of the captions."""

    sentence: h5py.Dataset
    embedding: h5py.Dataset
    row: h5py.Dataset


def open_table(file: h5py.File, name: TextName) -> OpenTable:
    """The texts of one strategy and stream; raises `StoreError` where they do not fit the file."""
    group, rows = _table_groups(file, name)
    embedding, embed_dim = checked_dataset(group, "embedding", "f", 2), read_attribute(file, "embed_dim")
    if embedding.shape[1] != embed_dim:
        raise StoreError(
            f"{file.filename}: texts {'/'.join(name)} are {embedding.shape[1]} wide and embed_dim is {embed_dim}"
        )
    row = checked_dataset(rows, name[1], "i")
    if len(row) != len(checked_dataset(child_group(file, "captions"), "id", "S")):
        raise StoreError(f"{file.filename}: texts {'/'.join(name)} are not of all its captions; the file is not whole")
    return OpenTable(checked_dataset(group, "sentence", "S"), embedding, row)


@dataclass(frozen=True)
class _Sentences:
    """Reads the sentences of a table."""

    path: Path
    name: TextName

    def __call__(self, rows: np.ndarray | None) -> Strings:
        with open_hdf5(self.path) as file:
            found = Strings.of(open_table(file, self.name).sentence[()])
        return found if rows is None else found.take(rows)


@contextmanager
def as_damage(path: Path) -> Iterator[None]:
    """What a record finds wrong with columns that were read is the file's fault."""
    try:
        yield
    except (CamoeError, ValueError) as error:
        raise StoreError(f"{path}: {error}; the file is not a sound store") from None


def _table_groups(file: h5py.File, name: TextName) -> tuple[h5py.Group, h5py.Group]:
    places = []
    for path in (("texts", *name), ("captions", name[0])):
        group: h5py.Group | None = file
        for part in path:
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
        if not has_attribute(file, item.name):
            continue
        if item.name in JSON_SETTINGS:
            values[item.name] = read_json_attribute(file, item.name, list if item.name == "strategies" else dict)
        else:
            values[item.name] = read_attribute(file, item.name)
    if "strategies" in values:
        values["strategies"] = tuple(map(str, values["strategies"]))
    try:
        settings = StoreSettings(**values)
    except TypeError:
        raise StoreError(f"{file.filename} does not say how it was made; the file is not a whole store") from None
    for name, is_sound in _SOUND.items():
        value = getattr(settings, name)
        if not is_sound(value):
            raise StoreError(
                f"{file.filename} has the {name} {value!r}, which cannot be; the file is not a sound store"
            )
    return settings


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_optional_text(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and 0 < value <= _MAX_FRAMES


def _is_positive(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value) and value > 0


_SOUND: dict[str, Callable[[Any], bool]] = {
    "clip_model": _is_text,
    "clip_sha256": _is_text,
    "clip_logit_scale": _is_positive,
    "clip_logit_bias": lambda value: value is None or (isinstance(value, int | float) and math.isfinite(value)),
    "embed_dim": _is_count,
    "precision": _is_text,
    "fps": lambda value: value is None or _is_positive(value),
    "max_frames": lambda value: value is None or _is_count(value),
    "sampling": _is_optional_text,
    "tagger": _is_optional_text,
    "captions_sha256": _is_optional_text,
    "batch_size": lambda value: value is None or (isinstance(value, int) and 0 < value < 10**9),
}
"""What each setting of a sound file is like."""
