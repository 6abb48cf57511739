"""A store of features made elsewhere, so that stage 2 serves any model whose texts and frames share a space."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ..captions.columns import KNOWN, Columns
from ..captions.names import VideoFile
from ..errors import CamoeError
from ..wording import counted
from .build import StoreBuilder
from .import_export import is_export, read_export
from .import_texts import Texts, differing_text, parse_texts, read_texts
from .layouts import Item, find_items
from .place_name import check_store_name
from .reader import FeatureStore
from .schema import (
    FAILED,
    FUSION,
    OK,
    Captions,
    Failure,
    Shard,
    StoreSettings,
    TextName,
    Videos,
    broken_rows,
    no_videos,
)

__all__ = ["ImportOptions", "Imported", "import_export", "import_store", "is_export", "parse_texts"]

_SHARD_SIZE = 512


@dataclass(frozen=True)
class ImportOptions:
    """How the features were made; `texts` maps `(strategy, stream)` to an `.npy (M, D)`, one row a caption.

    `sha256` is that of the model's weights; where it is not known, the model's name tells it from others. `seed` splits
    captions that come without a split, `columns` says what their file calls its columns.
    """

    model: str
    logit_scale: float
    sha256: str | None = None
    precision: str = "imported"
    fps: float | None = None
    max_frames: int = 12
    captions: Path | None = None
    texts: Mapping[TextName, Path] = field(default_factory=dict)
    seed: int = 0
    logit_bias: float | None = None
    columns: Columns = KNOWN

    @property
    def identity(self) -> str:
        """What the store keeps as the model's: equal for two imports of one model, and different for two models."""
        return self.sha256 or f"imported:{hashlib.sha256(self.model.encode()).hexdigest()}"

    def __post_init__(self) -> None:
        if not self.model.strip():
            raise CamoeError("--clip-model is empty; name the model, for it tells features of different models apart")
        if not (math.isfinite(self.logit_scale) and self.logit_scale > 0):
            raise CamoeError(f"--logit-scale {self.logit_scale} should be a positive number (100 for CLIP's models)")
        if self.logit_bias is not None and not math.isfinite(self.logit_bias):
            raise CamoeError(f"--logit-bias {self.logit_bias} should be a number (-10 or so for SigLIP's models)")
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
    skipped_captions: dict[str, int] = field(default_factory=dict)
    """Rows of `--captions` that were left out, per reason."""


def import_store(source: Path, out: Path, options: ImportOptions) -> Imported:
    """Make the store `out` from the features at `source`.

    Videos without frames, with another width or with values that are not finite are recorded in `failures.csv`. An
    import that was interrupted is continued. Raises `CamoeError` where nothing fits, with nothing left behind, and
    where `out` holds other values than `source`.
    """
    check_store_name(out)
    items = find_items(source)
    width = _common_width(items, source)
    texts: Texts = {}
    captions, skipped = None, {}
    if options.captions is not None:
        videos = [VideoFile(item.id, Path(item.source)) for item in items]
        read, captions, texts = read_texts(
            options.captions, options.texts, videos, width, options.seed, options.columns
        )
        skipped = read.skipped
    settings = _settings(options, width)
    with StoreBuilder(out, settings) as builder:
        if builder.store is not None:
            _refuse_changes(builder.store, items, captions, texts, settings, f"{out} holds")
        if captions is not None and not _has_captions(builder, captions, texts):
            builder.publish(Shard(settings, captions=captions, texts=texts))
        failed, shortened = _add_videos(builder, items, settings)
        builder.finish()
    found = {item.id: item.caption for item in items if item.caption is not None}
    count = len(captions.id) if captions is not None else 0
    return Imported(out, len(items) - failed, failed, shortened, count, found, skipped)


def _add_videos(builder: StoreBuilder, items: Sequence[Item], settings: StoreSettings) -> tuple[int, int]:
    """Publish the videos that the store lacks; returns how many failed, and how many were shortened."""
    failed = shortened = 0
    todo = [item for item in items if item.id not in builder.inventory.videos]
    for start in range(0, len(todo), _SHARD_SIZE):
        rows, failures = [], []
        for item in todo[start : start + _SHARD_SIZE]:
            try:
                rows.append(_read_video(item, settings))
            except CamoeError as error:
                failures.append(Failure(item.id, item.source, FAILED, str(error)))
        failed += len(failures)
        shortened += sum(row.shortened for row in rows)
        if rows or any(builder.inventory.failures.get(failure.id) != failure for failure in failures):
            videos = _as_videos(rows, settings) if rows else no_videos(settings)
            builder.publish(Shard(settings, videos=videos, failures=tuple(failures)))
    return failed, shortened


def _has_captions(builder: StoreBuilder, captions: Captions, texts: Texts) -> bool:
    keys = zip(captions.video_id, captions.id, strict=True)
    return all(builder.inventory.has_texts(name, key) for key in keys for name in texts)


def _refuse_changes(
    held: FeatureStore,
    items: Sequence[Item],
    captions: Captions | None,
    texts: Texts,
    settings: StoreSettings,
    who: str,
) -> None:
    """Raise `CamoeError` where the store holds other values than would be imported."""
    remedy = "give a new --out, or delete the old store first"
    item_of = {item.id: item for item in items}
    frames, times = (held.frames(), held.frame_times()) if held.video_ids else (np.empty(0), np.empty(0))
    counts = held.frame_count.tolist() if held.video_ids else []
    for place, (video_id, count) in enumerate(zip(held.video_ids, counts, strict=True)):
        if video_id not in item_of:
            raise CamoeError(f"{who} video {video_id!r}, which is not there any more; {remedy}")
        try:
            row = _read_video(item_of[video_id], settings)
        except CamoeError as error:
            raise CamoeError(f"{who} video {video_id!r}, and now it cannot be used ({error}); {remedy}") from None
        same = np.array_equal(frames[place, :count], row.frames)
        if not same or not np.array_equal(times[place, :count], row.times, equal_nan=True):
            raise CamoeError(f"{who} other features of video {video_id!r} than {row.item.source} has now; {remedy}")
    if held.has_captions and captions is not None:
        name = differing_text(held, captions, texts)
        if name is not None:
            raise CamoeError(f"{who} other embeddings of the texts {name}; {remedy}")


# -- videos


@dataclass(frozen=True)
class _Row:
    item: Item
    frames: np.ndarray
    times: np.ndarray
    size: int
    """Bytes of the source's array."""
    shortened: bool


def _common_width(items: Sequence[Item], source: Path) -> int:
    """The width of the first video that can be used."""
    reason = ""
    for item in items:
        try:
            return _load_frames(item)[0].shape[1]
        except CamoeError as error:
            reason = reason or str(error)
    found = counted(len(items), "array")
    raise CamoeError(f"{source}: no features there can be used ({found}; what is wrong with the first: {reason})")


def _load_frames(item: Item) -> tuple[np.ndarray, int]:
    """`(T, D)` float16, finite, and how many bytes the source has for it."""
    array = item.load()
    size = array.nbytes
    if array.ndim == 1 and len(array):
        array = array[None]
    if array.ndim != 2 or array.dtype.kind != "f" or 0 in array.shape:
        raise CamoeError(f"{item.source} should hold floats (T, D) or (D,), not {array.dtype} {array.shape}")
    with np.errstate(over="ignore"):
        array = array.astype(np.float16)
    if len(broken_rows(array)):
        raise CamoeError(f"{item.source} holds values that are not finite, or too large for float16")
    return array, size


def _read_video(item: Item, settings: StoreSettings) -> _Row:
    array, size = _load_frames(item)
    if array.shape[1] != settings.embed_dim:
        raise CamoeError(f"{item.source} is {array.shape[1]} wide, and the others {settings.embed_dim}")
    times = _times(item, len(array), settings.fps)
    limit = settings.max_frames or len(array)
    chosen = np.arange(len(array))
    if len(array) > limit:
        chosen = ((np.arange(limit) + 0.5) * len(array) / limit).astype(np.int64)
    return _Row(item, array[chosen], times[chosen].astype(np.float32), size, len(array) > limit)


def _times(item: Item, count: int, fps: float | None) -> np.ndarray:
    if item.load_times is not None:
        times = item.load_times()
        if times.shape != (count,):
            raise CamoeError(f"{item.source} has {counted(count, 'frame')} and {counted(len(times), 'time')}")
        return times
    return np.arange(count) / fps if fps is not None else np.full(count, np.nan)


def _as_videos(rows: Sequence[_Row], settings: StoreSettings) -> Videos:
    count = np.array([len(row.frames) for row in rows], np.int64)
    frames = np.zeros((len(rows), settings.max_frames or 1, settings.embed_dim), np.float16)
    times = np.full(frames.shape[:2], np.nan, np.float32)
    for index, row in enumerate(rows):
        frames[index, : count[index]] = row.frames
        times[index, : count[index]] = row.times
    return Videos(
        id=[row.item.id for row in rows],
        source=[Path(row.item.source).name for row in rows],
        source_size=np.array([row.size for row in rows], np.int64),
        source_mtime=np.zeros(len(rows)),
        duration_s=np.full(len(rows), np.nan, np.float32),
        status=[OK] * len(rows),
        frame_count=count,
        frames=frames,
        frame_time_s=times,
    )


def _settings(options: ImportOptions, width: int) -> StoreSettings:
    settings = StoreSettings(
        clip_model=options.model,
        clip_sha256=options.identity,
        clip_logit_scale=options.logit_scale,
        clip_logit_bias=options.logit_bias,
        embed_dim=width,
        precision=options.precision,
        fps=options.fps,
        max_frames=options.max_frames,
        sampling="imported",
    )
    if options.captions is None:
        return settings
    return replace(
        settings,
        streams={stream: "everything" if stream == FUSION else "imported" for _, stream in options.texts},
        strategies=tuple(dict.fromkeys(strategy for strategy, _ in options.texts)),
        tagger="imported",
        captions_sha256=hashlib.sha256(options.captions.read_bytes()).hexdigest(),
    )


# -- our own export, back again


def import_export(source: Path, out: Path) -> Imported:
    """Make the store `out` from an exported npz; its content hash is that of the store it came from.

    Raises `CamoeError` where the npz is not whole or `out` is there already, with nothing left behind.
    """
    check_store_name(out)
    shard = read_export(source)
    with StoreBuilder(out, shard.settings) as builder:
        if builder.store is not None:
            raise CamoeError(f"{out} exists already; give a new --out")
        builder.publish(shard)
        builder.finish()
    return Imported(
        out, len(shard.videos.id) if shard.videos else 0, 0, 0, len(shard.captions.id) if shard.captions else 0, {}
    )
