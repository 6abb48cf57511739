"""A store as NumPy or Parquet files for other tools (docs/store.md lists the keys and columns), or as an index."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ..atomic import atomic_path
from ..errors import CamoeError
from .reader import FeatureStore
from .safe_open import decode_strings
from .schema import SUBSETS

_BLOCK_ROWS = 2048


def export_store(store: FeatureStore, out: Path) -> list[Path]:
    """Write `out`, whole or not at all; returns the files. Raises `CamoeError` for a suffix not in `FORMATS`."""
    if out.suffix not in FORMATS:
        raise CamoeError(f"{out} should end in .npz, .parquet or .faiss")
    return FORMATS[out.suffix](store, out)


# -- npz


def _export_npz(store: FeatureStore, out: Path) -> list[Path]:
    with atomic_path(out) as temporary, open(temporary, "wb") as stream:
        np.savez(stream, allow_pickle=False, **dict(npz_arrays(store)))
    return [out]


def npz_arrays(store: FeatureStore) -> Iterator[tuple[str, np.ndarray]]:
    """The arrays of the npz by key; the importer reads the same keys."""
    yield "settings", np.array(json.dumps(asdict(store.settings)))
    if store.video_ids:
        yield "ids", _text(store.video_ids)
        yield "status", _text(store.video_status)
        for name in ("source", "fingerprint"):
            yield name, _text(decode_strings(store.video_column(name)))
        for name in ("source_size", "source_mtime", "duration_s"):
            yield name, store.video_column(name)
        yield "frame_count", store.frame_count
        yield "frames", store.frames()
        yield "frame_time_s", store.frame_times()
    if store.has_captions:
        yield "caption_ids", _text(store.caption_ids)
        yield "caption_video_ids", _text(store.caption_video_ids)
        yield "caption_texts", _text(store.caption_texts)
        for name, codes in store.protocols.items():
            yield f"protocols/{name}", codes
        yield "shortfall", np.array(json.dumps(store.shortfall))
        for name, notes in store.text_notes.items():
            yield f"notes/{name}", np.array(json.dumps(notes))
        for strategy, stream in store.text_names:
            table = store.text_table(strategy, stream)
            yield f"texts/{strategy}/{stream}/sentence", _text(table.sentence)
            yield f"texts/{strategy}/{stream}/embedding", table.embedding
            yield f"texts/{strategy}/{stream}/row", table.row
        if store.has_word_tokens:
            tokens = store.word_tokens
            yield "tokens/sentence", _text(tokens.sentence)
            yield "tokens/offsets", tokens.offsets
            yield "tokens/row", tokens.row
            yield "tokens/values", tokens.values()


def _text(values: Sequence[str]) -> np.ndarray:
    return np.array(list(values), dtype=np.str_) if len(values) else np.zeros(0, "U1")


# -- parquet


def _export_parquet(store: FeatureStore, out: Path) -> list[Path]:
    """`NAME.videos.parquet`, `NAME.captions.parquet` and `NAME.tokens.parquet`, as far as the store has them."""
    parts: list[tuple[Path, int, Callable[[slice], dict[str, Any]]]] = []
    if store.video_ids:
        parts.append((out.with_suffix(".videos.parquet"), len(store.video_ids), _video_rows(store)))
    if store.has_captions:
        parts.append((out.with_suffix(".captions.parquet"), len(store.caption_ids), _caption_rows(store)))
    if store.has_word_tokens:
        parts.append((out.with_suffix(".tokens.parquet"), len(store.word_tokens.sentence), _token_rows(store)))
    with ExitStack() as stack:
        temporaries = [stack.enter_context(atomic_path(path)) for path, _, _ in parts]
        for temporary, (_, rows, block) in zip(temporaries, parts, strict=True):
            _write_parquet(temporary, rows, block, json.dumps(asdict(store.settings)))
    return [path for path, _, _ in parts]


def _write_parquet(path: Path, rows: int, block: Callable[[slice], dict[str, Any]], settings: str) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    writer: Any = None
    try:
        for start in range(0, max(rows, 1), _BLOCK_ROWS):
            table = pa.table(block(slice(start, start + _BLOCK_ROWS)))
            if writer is None:
                writer = parquet.ParquetWriter(
                    path, table.schema.with_metadata({"camoe": settings}), compression="zstd"
                )
            writer.write_table(table)
    finally:
        if writer is not None:
            writer.close()


def _vectors(values: np.ndarray) -> Any:
    """`(N, D)` as a column of lists of float32, which every reader of Parquet knows."""
    import pyarrow as pa

    flat = pa.array(np.ascontiguousarray(values, np.float32).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])


def _video_rows(store: FeatureStore) -> Callable[[slice], dict[str, Any]]:
    import pyarrow as pa

    frames, times, count = store.frames(), store.frame_times(), store.frame_count
    columns = {name: store.video_column(name) for name in ("source_size", "source_mtime", "duration_s")}
    source, status = decode_strings(store.video_column("source")), store.video_status

    def block(rows: slice) -> dict[str, Any]:
        valid = np.arange(frames.shape[1]) < count[rows, None]
        offsets = pa.array(np.concatenate([[0], np.cumsum(count[rows])]), pa.int32())
        return {
            "id": pa.array(store.video_ids[rows], pa.string()),
            "source": pa.array(source[rows], pa.string()),
            "status": pa.array(status[rows], pa.string()),
            **{name: pa.array(values[rows]) for name, values in columns.items()},
            "frame_count": pa.array(count[rows]),
            "frame_time_s": pa.ListArray.from_arrays(offsets, pa.array(times[rows][valid])),
            "frames": pa.ListArray.from_arrays(offsets, _vectors(frames[rows][valid])),
        }

    return block


def _caption_rows(store: FeatureStore) -> Callable[[slice], dict[str, Any]]:
    import pyarrow as pa

    tables = {name: store.text_table(*name) for name in store.text_names}
    subset = np.array([None, *SUBSETS], dtype=object)
    tokens = store.word_tokens if store.has_word_tokens else None

    def block(rows: slice) -> dict[str, Any]:
        columns = {
            "id": pa.array(store.caption_ids[rows], pa.string()),
            "video_id": pa.array(store.caption_video_ids[rows], pa.string()),
            "caption": pa.array(store.caption_texts[rows], pa.string()),
        }
        for protocol, codes in store.protocols.items():
            columns[f"protocols/{protocol}"] = pa.array(subset[codes[rows]].tolist(), pa.string())
        for (strategy, stream), table in tables.items():
            columns[f"texts/{strategy}/{stream}"] = _vectors(table.embedding[table.row[rows]])
        if tokens is not None:
            columns["tokens_row"] = pa.array(tokens.row[rows])
        return columns

    return block


def _token_rows(store: FeatureStore) -> Callable[[slice], dict[str, Any]]:
    import pyarrow as pa

    tokens = store.word_tokens

    def block(rows: slice) -> dict[str, Any]:
        chosen = np.arange(len(tokens.sentence))[rows]
        lengths = np.diff(tokens.offsets)[chosen]
        offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
        return {
            "sentence": pa.array(tokens.sentence[rows], pa.string()),
            "tokens": pa.ListArray.from_arrays(offsets, _vectors(tokens.read(chosen))),
        }

    return block


# -- an index


def _export_index(store: FeatureStore, out: Path) -> list[Path]:
    from .video_index import export_index  # which imports torch

    return export_index(store, out)


FORMATS: dict[str, Callable[[FeatureStore, Path], list[Path]]] = {
    ".npz": _export_npz,
    ".parquet": _export_parquet,
    ".faiss": _export_index,
}
