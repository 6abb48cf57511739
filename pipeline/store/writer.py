"""Writing shards: built whole in memory, then published under their name.

HDF5 files that are killed while being written, or reopened for writing after they were finished, are often lost; so no
shard is ever open for writing on the disk.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..atomic import write_atomic
from ..errors import CamoeError
from .content import Tokens, captions_sum, table_sum, tokens_sum, videos_sum
from .safe_open import TEXT_ERRORS
from .schema import (
    SCHEMA_VERSION,
    TOKENS_VERSION,
    Captions,
    Failure,
    Removed,
    Shard,
    StoreSettings,
    TextName,
    TextTable,
    Videos,
)
from .strings import Strings

_CHUNK_BYTES = 1 << 20
JSON_SETTINGS = ("streams", "strategies", "versions")


def write_shard(path: str | Path, shard: Shard) -> None:
    """Publish `shard` at `path`, whole or not at all; raises `OSError` when the disk refuses."""
    write_atomic(Path(path), shard_bytes(shard))


def shard_bytes(shard: Shard) -> bytes:
    """The HDF5 file of a shard; the same shard gives the same bytes."""
    with h5py.File("shard", "w", driver="core", backing_store=False, libver=("v110", "v110")) as file:
        write_settings(file, shard.settings, shard.kind, order=shard.order, has_tokens=shard.tokens is not None)
        write_failures(file, shard.failures)
        write_removed(file, shard.removed)
        if shard.videos is not None:
            write_videos(file.create_group("videos"), shard.videos)
        if shard.captions is not None:
            write_captions(file, shard.captions, captions_sum(shard.captions))
            file.create_group("texts")
            for name, table in shard.texts.items():
                write_table(file, name, table, shard.captions, shard.text_notes.get("/".join(name), {}))
            if shard.tokens is not None:
                content_sum = tokens_sum(shard.captions, shard.tokens)
                write_tokens(file, shard.tokens.sentence, shard.tokens, shard.settings.embed_dim, content_sum)
        file.flush()
        image: bytes = file.id.get_file_image()
        return image


def write_settings(
    file: h5py.File, settings: StoreSettings, kind: str, *, order: int, has_tokens: bool = False
) -> None:
    """The root attributes; what does not apply to the shard is left out."""
    write_attribute(file, "schema", TOKENS_VERSION if has_tokens else SCHEMA_VERSION)
    write_attribute(file, "kind", kind)
    write_attribute(file, "order", order)
    for name, value in asdict(settings).items():
        if value is not None:
            write_attribute(file, name, json.dumps(value) if name in JSON_SETTINGS else value)


def write_attribute(place: h5py.Group | h5py.Dataset, name: str, value: str | float) -> None:
    """Strings of fixed length: HDF5 keeps them inside the checksummed object header."""
    if isinstance(value, str):
        encoded = value.encode("utf-8", TEXT_ERRORS)
        place.attrs.create(name, encoded, dtype=h5py.string_dtype("utf-8", max(1, len(encoded))))
    else:
        place.attrs[name] = value


def write_failures(file: h5py.File, failures: Sequence[Failure]) -> None:
    """The group `/failures`, where there are any."""
    if failures:
        group = file.create_group("failures")
        for name in ("id", "path", "stage", "reason"):
            write_column(group, name, encode_strings([getattr(failure, name) for failure in failures]))


def write_removed(file: h5py.File, removed: Removed) -> None:
    """The group `/removed`, where there is anything to tell."""
    if removed.videos or removed.captions or removed.dropped:
        group = file.create_group("removed")
        write_column(group, "videos", encode_strings(list(removed.videos)))
        write_column(group, "caption_video_ids", encode_strings([video_id for video_id, _ in removed.captions]))
        write_column(group, "caption_ids", encode_strings([caption_id for _, caption_id in removed.captions]))
        if removed.dropped:
            write_column(group, "dropped", encode_strings(list(removed.dropped)))


def write_videos(group: h5py.Group, videos: Videos) -> None:
    """The columns of `/videos`."""
    write_attribute(group, "content_sum", videos_sum(videos))
    for name in ("id", "source", "status", "fingerprint"):
        write_column(group, name, encode_strings(getattr(videos, name)))
    write_column(group, "source_size", videos.source_size.astype(np.int64))
    write_column(group, "source_mtime", videos.source_mtime.astype(np.float64))
    write_column(group, "duration_s", videos.duration_s.astype(np.float32))
    write_column(group, "frame_count", videos.frame_count.astype(np.int64))
    write_column(group, "frames", videos.frames.astype(np.float16))
    write_column(group, "frame_time_s", videos.frame_time_s.astype(np.float32))


def write_captions(file: h5py.File, captions: Captions, content_sum: str) -> None:
    """The groups `/captions` and `/protocols`."""
    group = file.create_group("captions")
    write_attribute(group, "content_sum", content_sum)
    for name in ("id", "video_id", "text"):
        write_column(group, name, encode_strings(getattr(captions, name)))
    protocols = file.create_group("protocols")
    for name, codes in captions.protocols.items():
        dataset = write_column(protocols, name, codes.astype(np.uint8))
        write_attribute(dataset, "shortfall", json.dumps(captions.shortfall.get(name, {}), sort_keys=True))


def write_table(file: h5py.File, name: TextName, table: TextTable, captions: Captions, notes: dict) -> None:
    """One group of `/texts`, and the row of each caption in it."""
    group = file["texts"].require_group("/".join(name))
    write_attribute(group, "content_sum", table_sum(captions, name, table))
    write_attribute(group, "notes", json.dumps(notes, sort_keys=True))
    write_column(group, "sentence", encode_strings(table.sentence))
    write_column(group, "embedding", table.embedding.astype(np.float16))
    write_column(file["captions"], "/".join(name), table.row.astype(np.int64))


def write_tokens(file: h5py.File, sentences: Sequence[str], tokens: Tokens, width: int, content_sum: str) -> None:
    """The group `/tokens`, block by block."""
    group = file.create_group("tokens")
    write_attribute(group, "content_sum", content_sum)
    write_column(group, "sentence", encode_strings(sentences))
    write_column(group, "offsets", tokens.offsets.astype(np.int64))
    write_column(group, "row", tokens.row.astype(np.int64))
    count = int(tokens.offsets[-1])
    target = write_column(group, "values", np.empty((min(1, count), width), np.float16), total=count)
    start = 0
    for block in tokens.blocks():
        target[start : start + len(block)] = block.astype(np.float16, copy=False)
        start += len(block)


def encode_strings(values: Sequence[str]) -> np.ndarray:
    """Fixed-length UTF-8, because HDF5's checksums do not cover variable-length data."""
    if isinstance(values, Strings):
        return values.fixed()
    encoded = [value.encode("utf-8", TEXT_ERRORS) for value in values]
    for value in encoded:
        if value.endswith(b"\0"):
            raise CamoeError(f"{value.decode()!r} ends in a NUL character, which HDF5 cannot keep; take it out")
    return np.array(encoded or [b""], dtype="S")[: len(values)]


def write_column(group: h5py.Group, name: str, values: np.ndarray, total: int | None = None) -> h5py.Dataset:
    """One dataset with a checksum; strings and integers are compressed.

    With `total` it has that many rows, and `values`, the first of them, are for the caller to write.
    """
    options: dict[str, Any] = {"data": values} if total is None else {"shape": (total, *values.shape[1:])}
    if values.size:
        row_bytes = max(1, values.nbytes // len(values))
        rows = min(total or len(values), max(1, _CHUNK_BYTES // row_bytes))
        options |= {"chunks": (rows, *values.shape[1:]), "fletcher32": True}
        if values.dtype.kind in "Siu":
            options |= {"compression": "gzip", "compression_opts": 1, "shuffle": values.dtype.kind != "S"}
    if values.dtype.kind == "S":
        options["data"] = values.astype(h5py.string_dtype("utf-8", values.dtype.itemsize))
    return group.create_dataset(name, dtype=None if "data" in options else values.dtype, track_times=False, **options)
