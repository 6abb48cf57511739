"""A store of features made elsewhere, so that stage 2 serves any model whose texts and frames share a space."""

from __future__ import annotations

import csv
import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import CamoeError
from .build import StoreBuilder
from .layouts import Item, find_items, needed, parse_npy, read_npz
from .schema import (
    FAILED,
    FULL,
    FUSION,
    OK,
    SUBSETS,
    Captions,
    Failure,
    Shard,
    StoreSettings,
    TextName,
    TextTable,
    Videos,
    broken_rows,
    no_videos,
    subset_code,
)

PROTOCOL = "own"
_SHARD_SIZE = 512
_COLUMNS = ("video_id", "caption", "split")


@dataclass(frozen=True)
class ImportOptions:
    """How the features were made; `texts` maps `(strategy, stream)` to an `.npy (M, D)`, one row a caption."""

    model: str
    logit_scale: float
    sha256: str = "imported"
    precision: str = "imported"
    fps: float | None = None
    max_frames: int = 12
    captions: Path | None = None
    texts: Mapping[TextName, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (math.isfinite(self.logit_scale) and self.logit_scale > 0):
            raise CamoeError(f"--logit-scale {self.logit_scale} should be a positive number (100 for CLIP's models)")
        if self.max_frames < 1:
            raise CamoeError(f"--max-frames {self.max_frames} should be at least 1")
        if self.fps is not None and not (math.isfinite(self.fps) and self.fps > 0):
            raise CamoeError(f"--fps {self.fps} should be a positive number")
        if (self.captions is None) != (not self.texts):
            raise CamoeError("--captions FILE.csv and --texts FILE.npy belong together, row by row")


@dataclass(frozen=True)
class Imported:
    """What came of it; `shortened` counts videos with more frames than `--max-frames`."""

    store: Path
    videos: int
    failed: int
    shortened: int
    captions: int
    found_captions: dict[str, str]
    """Captions that lay beside the features, by video; without embeddings they are not in the store."""


def import_store(source: Path, out: Path, options: ImportOptions) -> Imported:
    """Make the store `out` from the features at `source`.

    Videos without frames, with another width or with values that are not finite are recorded in `failures.csv`. A
    store that was begun with the same options is continued.
    Raises `CamoeError` where nothing fits, with nothing left behind.
    """
    items = find_items(source)
    width = _common_width(items, source)
    captions = _read_captions(options, width) if options.captions is not None else None
    settings = _settings(items, options, width, captions)
    shortened = failed = 0
    with StoreBuilder(out, settings) as builder:
        if captions is not None and not _has_captions(builder, *captions):
            builder.publish(Shard(settings, captions=captions[0], texts=captions[1]))
        todo = [item for item in items if item.id not in builder.inventory.videos]
        for start in range(0, len(todo), _SHARD_SIZE):
            rows, failures = [], []
            for item in todo[start : start + _SHARD_SIZE]:
                try:
                    rows.append(_read_video(item, settings))
                except CamoeError as error:
                    failed += 1
                    failures.append(Failure(item.id, item.source, FAILED, str(error)))
            shortened += sum(row.shortened for row in rows)
            if rows or any(builder.inventory.failures.get(failure.id) != failure for failure in failures):
                videos = _as_videos(rows, settings) if rows else no_videos(settings)
                builder.publish(Shard(settings, videos=videos, failures=tuple(failures)))
        builder.finish()
    found = {item.id: item.caption for item in items if item.caption is not None}
    return Imported(out, len(items) - failed, failed, shortened, len(captions[0].id) if captions else 0, found)


def _has_captions(builder: StoreBuilder, captions: Captions, texts: Mapping[TextName, TextTable]) -> bool:
    keys = zip(captions.video_id, captions.id, strict=True)
    return all(builder.inventory.has_texts(name, key) for key in keys for name in texts)


# -- videos


@dataclass(frozen=True)
class _Row:
    item: Item
    frames: np.ndarray
    times: np.ndarray
    shortened: bool


def _common_width(items: Sequence[Item], source: Path) -> int:
    """The width of the first video that can be used."""
    reason = ""
    for item in items:
        try:
            return _load_frames(item).shape[1]
        except CamoeError as error:
            reason = reason or str(error)
    raise CamoeError(f"{source}: none of its {len(items)} arrays can be used (first: {reason})")


def _load_frames(item: Item) -> np.ndarray:
    """`(T, D)` float16, finite."""
    array = item.load()
    if array.ndim == 1 and len(array):
        array = array[None]
    if array.ndim != 2 or array.dtype.kind != "f" or 0 in array.shape:
        raise CamoeError(f"{item.source} should hold floats (T, D) or (D,), not {array.dtype} {array.shape}")
    with np.errstate(over="ignore"):
        array = array.astype(np.float16)
    if len(broken_rows(array)):
        raise CamoeError(f"{item.source} holds values that are not finite, or too large for float16")
    return array


def _read_video(item: Item, settings: StoreSettings) -> _Row:
    array = _load_frames(item)
    if array.shape[1] != settings.embed_dim:
        raise CamoeError(f"{item.source} is {array.shape[1]} wide, and the others {settings.embed_dim}")
    times = _times(item, len(array), settings.fps)
    limit = settings.max_frames or len(array)
    chosen = np.arange(len(array))
    if len(array) > limit:
        chosen = ((np.arange(limit) + 0.5) * len(array) / limit).astype(np.int64)
    return _Row(item, array[chosen], times[chosen].astype(np.float32), len(array) > limit)


def _times(item: Item, count: int, fps: float | None) -> np.ndarray:
    if item.load_times is not None:
        times = item.load_times()
        if times.shape != (count,):
            raise CamoeError(f"{item.source} has {count} frames and {len(times)} times")
        return times
    return np.arange(count) / fps if fps is not None else np.full(count, np.nan)


def _as_videos(rows: Sequence[_Row], settings: StoreSettings) -> Videos:
    count = np.array([len(row.frames) for row in rows], np.int64)
    frames = np.zeros((len(rows), settings.max_frames or 1, settings.embed_dim), np.float16)
    times = np.full(frames.shape[:2], np.nan, np.float32)
    for index, row in enumerate(rows):
        frames[index, : count[index]] = row.frames
        times[index, : count[index]] = row.times
    unknown = np.zeros(len(rows), np.int64)
    return Videos(
        id=[row.item.id for row in rows],
        source=[Path(row.item.source).name for row in rows],
        source_size=unknown,
        source_mtime=unknown.astype(float),
        duration_s=np.full(len(rows), np.nan, np.float32),
        status=[OK] * len(rows),
        frame_count=count,
        frames=frames,
        frame_time_s=times,
    )


def _settings(
    items: Sequence[Item], options: ImportOptions, width: int, captions: tuple[Captions, Any] | None
) -> StoreSettings:
    text = {}
    if captions is not None and options.captions is not None:
        streams = {stream: "everything" if stream == FUSION else "imported" for _, stream in options.texts}
        text = {
            "streams": streams,
            "strategies": tuple(dict.fromkeys(strategy for strategy, _ in options.texts)),
            "tagger": "imported",
            "captions_sha256": hashlib.sha256(options.captions.read_bytes()).hexdigest(),
        }
    return StoreSettings(
        clip_model=options.model,
        clip_sha256=options.sha256,
        clip_logit_scale=options.logit_scale,
        embed_dim=width,
        precision=options.precision,
        fps=options.fps,
        max_frames=options.max_frames,
        sampling="imported",
        **text,  # type: ignore[arg-type]
    )


# -- captions


def parse_texts(specs: Sequence[str]) -> dict[TextName, Path]:
    """`FILE.npy` (the whole captions) and `STRATEGY/STREAM=FILE.npy` by (strategy, stream)."""
    texts: dict[TextName, Path] = {}
    for spec in specs:
        name, equals, path = spec.rpartition("=")
        strategy, slash, stream = name.partition("/") if equals else (FULL, "/", FUSION)
        if not (path and slash and _is_word(strategy) and _is_word(stream)):
            raise CamoeError(f"--texts {spec!r} is not FILE.npy or STRATEGY/STREAM=FILE.npy")
        texts[strategy, stream] = Path(path)
    return texts


def _is_word(text: str) -> bool:
    return text not in ("id", "video_id", "text", "") and all(letter.isalnum() or letter in "-_" for letter in text)


def _read_captions(options: ImportOptions, width: int) -> tuple[Captions, dict[TextName, TextTable]]:
    assert options.captions is not None
    rows = list(_csv_rows(options.captions))
    numbers: dict[str, int] = {}
    ids = []
    for row in rows:
        numbers[row["video_id"]] = numbers.get(row["video_id"], -1) + 1
        ids.append(row.get("caption_id") or f"{row['video_id']}#{numbers[row['video_id']]:03d}")
    captions = Captions(
        id=ids,
        video_id=[row["video_id"] for row in rows],
        text=[row["caption"] for row in rows],
        protocols={PROTOCOL: np.array([_code(row, options.captions) for row in rows], np.uint8)},
    )
    if len(set(zip(captions.video_id, ids, strict=True))) != len(ids):
        raise CamoeError(f"{options.captions}: a caption_id occurs twice in one video; make them differ")
    return captions, {name: _read_table(path, captions, options, width) for name, path in options.texts.items()}


def _csv_rows(path: Path) -> Iterator[dict[str, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise CamoeError(f"{path} cannot be read ({getattr(error, 'strerror', None) or 'not UTF-8'})") from None
    reader = csv.DictReader(text.splitlines(keepends=True), strict=True)
    missing = [name for name in _COLUMNS if name not in (reader.fieldnames or [])]
    if missing:
        raise CamoeError(
            f"{path} has no column {missing[0]}; it needs {', '.join(_COLUMNS)} (and may have caption_id), "
            f"split being {', '.join(SUBSETS)} or empty"
        )
    try:
        yield from ({name: value or "" for name, value in row.items() if name} for row in reader)
    except csv.Error as error:
        raise CamoeError(f"{path} line {reader.line_num} cannot be read ({error})") from None


def _code(row: Mapping[str, str], path: Path) -> int:
    try:
        return subset_code(row["split"].strip()) if row["split"].strip() else 0
    except CamoeError as error:
        raise CamoeError(f"{path}, video {row['video_id']}: {error}") from None


def _read_table(path: Path, captions: Captions, options: ImportOptions, width: int) -> TextTable:
    """One sentence for each distinct caption; it has the first embedding that is given for it."""
    try:
        embedding = parse_npy(path.read_bytes(), str(path))
    except OSError as error:
        raise CamoeError(f"{path} cannot be read ({error.strerror})") from None
    if embedding.dtype.kind != "f" or embedding.shape != (len(captions.id), width):
        raise CamoeError(
            f"{path} should hold floats {(len(captions.id), width)}, a row for each caption of {options.captions}, "
            f"not {embedding.dtype} {embedding.shape}"
        )
    place: dict[str, int] = {}
    row = np.array([place.setdefault(text, len(place)) for text in captions.text], np.int64)
    first = np.unique(row, return_index=True)[1]
    return TextTable(list(place), embedding[first].astype(np.float16), row)


# -- our own export, back again


def is_export(source: Path) -> bool:
    """Whether an npz was written by `export`, and so says itself how it was made."""
    return source.suffix == ".npz" and source.is_file() and "settings" in read_npz(source)


def import_export(source: Path, out: Path) -> Imported:
    """Make the store `out` from an exported npz; its content hash is that of the store it came from."""
    arrays = read_npz(source)
    shard = _shard_of(arrays, source)
    with StoreBuilder(out, shard.settings) as builder:
        if builder.store is not None:
            raise CamoeError(f"{out} exists already; give a new --out")
        builder.publish(shard)
        builder.finish()
    return Imported(
        out, len(shard.videos.id) if shard.videos else 0, 0, 0, len(shard.captions.id) if shard.captions else 0, {}
    )


def _shard_of(arrays: dict[str, np.ndarray], source: Path) -> Shard:
    try:
        stated = json.loads(str(arrays["settings"]))
        if stated.get("strategies") is not None:
            stated["strategies"] = tuple(stated["strategies"])
        settings = StoreSettings(**stated)
        videos = captions = None
        if "ids" in arrays:
            keys = {item.name: item.name for item in fields(Videos)} | {"id": "ids"}
            if "fingerprint" not in arrays:
                del keys["fingerprint"]
            columns: dict[str, Any] = {name: needed(arrays, source, key) for name, key in keys.items()}
            columns |= {
                name: columns[name].tolist() for name in ("id", "source", "status", "fingerprint") if name in columns
            }
            videos = Videos(**columns)
        if "caption_ids" in arrays:
            ids, owners, texts = (
                needed(arrays, source, f"caption_{name}").tolist() for name in ("ids", "video_ids", "texts")
            )
            captions = Captions(ids, owners, texts, _below(arrays, "protocols/"))
        tables: dict[TextName, TextTable] = {}
        for name, embedding in _below(arrays, "texts/").items():
            if name.endswith("/embedding"):
                strategy, stream, _ = name.split("/")
                place = f"texts/{strategy}/{stream}/"
                sentence = needed(arrays, source, place + "sentence").tolist()
                tables[strategy, stream] = TextTable(sentence, embedding, needed(arrays, source, place + "row"))
        return Shard(settings, videos=videos, captions=captions, texts=tables)
    except (ValueError, TypeError, IndexError, AttributeError) as error:
        raise CamoeError(f"{source} is not a whole export ({error})") from None


def _below(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
