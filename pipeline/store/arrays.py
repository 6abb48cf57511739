"""A store of arrays that a program has in memory, so that stage 2 trains on them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path

import numpy as np

from ..captions.splits import split_videos
from ..errors import ArrayError, CamoeError
from .build import StoreBuilder
from .place_name import check_store_name
from .reader import FeatureStore
from .schema import FULL, FUSION, OK, Captions, Shard, StoreSettings, TextName, TextTable, Videos, subset_code

PROTOCOL = "own"


def store_from_arrays(
    out: str | PathLike[str],
    *,
    frames: Sequence[np.ndarray] | np.ndarray,
    video_ids: Sequence[str],
    captions: Sequence[str],
    caption_videos: Sequence[str],
    texts: np.ndarray | Mapping[TextName, np.ndarray],
    model: str,
    logit_scale: float = 100.0,
    splits: Mapping[str, str] | None = None,
    seed: int = 0,
) -> FeatureStore:
    """Write the store `out` (NAME.h5, or a new folder) from arrays, and open it.

    `frames`: `N` arrays `(T, D)`, one a video, whose lengths may differ, or one array `(N, T, D)`, none of it padding;
    not normalised where the encoder does not. `captions`: `M` texts, of the videos that `caption_videos` names.
    `texts`: their embeddings `(M, D)` as whole captions, or arrays by `(strategy, stream)`, such as
    `("muw", "entity")`; captions that read the same share the first one's. `model` names the encoder and tells it from
    others; `logit_scale` multiplies its cosines. `splits` maps videos to `train`, `val` or `test`; without it they are
    drawn by `seed` (80/10/10).

    Raises `ArrayError` for arrays that do not fit, naming which, and `CamoeError` where `out` is there already.
    """
    place = Path(out)
    check_store_name(place)
    if place.exists():
        raise CamoeError(f"{place} exists already; give another name, or delete it first")
    if not model.strip():
        raise ArrayError("model is empty; name the encoder, for it tells features of different encoders apart")
    if not (math.isfinite(logit_scale) and logit_scale > 0):
        raise ArrayError(f"logit_scale must be a positive number, not {logit_scale}")
    videos = _videos(list(video_ids), [np.asarray(array) for array in frames])
    subsets = _subsets(videos.id, splits, seed)
    if lost := sorted(set(caption_videos) - set(videos.id)):
        raise ArrayError(f"caption_videos names {lost[0]!r}, which is not among video_ids")
    table = _captions(list(captions), list(caption_videos), subsets)
    width = videos.frames.shape[2]
    named = {(FULL, FUSION): texts} if isinstance(texts, np.ndarray) else dict(texts)
    settings = StoreSettings(
        clip_model=model,
        clip_sha256=f"arrays:{hashlib.sha256(model.encode()).hexdigest()}",
        clip_logit_scale=float(logit_scale),
        embed_dim=width,
        precision="imported",
        max_frames=videos.frames.shape[1],
        sampling="imported",
        streams={stream: "everything" if stream == FUSION else "imported" for _, stream in named},
        strategies=tuple(dict.fromkeys(strategy for strategy, _ in named)),
        tagger="imported",
    )
    tables = {name: _texts("/".join(name), np.asarray(array), table.text, width) for name, array in named.items()}
    with StoreBuilder(place, settings) as builder:
        builder.publish(Shard(settings, videos=videos, captions=table, texts=tables))
        builder.finish()
    return FeatureStore.open(place)


def _videos(ids: list[str], frames: list[np.ndarray]) -> Videos:
    if len(ids) != len(frames) or not ids or len(set(ids)) < len(ids):
        raise ArrayError(f"video_ids must name each of the {len(frames)} arrays of frames once, not {len(ids)} times")
    width = frames[0].shape[-1] if frames[0].ndim == 2 else 0
    for name, array in zip(ids, frames, strict=True):
        if array.ndim != 2 or array.dtype.kind != "f" or array.shape[1] != width or 0 in array.shape:
            raise ArrayError(
                f"the frames of {name!r} must be floats (T, {width or 'D'}), not {array.dtype} {array.shape}"
            )
    count = np.array([len(array) for array in frames], np.int64)
    padded = np.zeros((len(ids), int(count.max()), width), np.float16)
    for row, array in zip(padded, frames, strict=True):
        with np.errstate(over="ignore"):
            row[: len(array)] = array
    return Videos(
        id=ids,
        source=ids,
        source_size=np.array([array.nbytes for array in frames], np.int64),
        source_mtime=np.zeros(len(ids)),
        duration_s=np.full(len(ids), np.nan, np.float32),
        status=[OK] * len(ids),
        frame_count=count,
        frames=padded,
        frame_time_s=np.full(padded.shape[:2], np.nan, np.float32),
    )


def _subsets(ids: list[str], splits: Mapping[str, str] | None, seed: int) -> dict[str, int]:
    if splits is None:
        return split_videos(ids, seed)
    if lacking := [name for name in ids if name not in splits]:
        raise ArrayError(f"splits does not say what {lacking[0]!r} is; name train, val or test for every video")
    return {name: subset_code(splits[name]) for name in ids}


def _captions(texts: list[str], owners: list[str], subsets: Mapping[str, int]) -> Captions:
    if len(texts) != len(owners):
        raise ArrayError(f"there are {len(texts)} captions and {len(owners)} caption_videos; give one for each")
    counted: dict[str, int] = {}
    ids = []
    for owner in owners:
        counted[owner] = counted.get(owner, -1) + 1
        ids.append(f"{owner}#{counted[owner]:03d}")
    codes = np.array([subsets[owner] for owner in owners], np.uint8)
    return Captions(ids, owners, texts, {PROTOCOL: codes})


def _texts(name: str, array: np.ndarray, captions: Sequence[str], width: int) -> TextTable:
    """One sentence for each distinct caption; it has the first embedding that is given for it."""
    if array.dtype.kind != "f" or array.shape != (len(captions), width):
        raise ArrayError(f"texts {name} must be floats {(len(captions), width)}, not {array.dtype} {array.shape}")
    place: dict[str, int] = {}
    row = np.array([place.setdefault(text, len(place)) for text in captions], np.int64)
    first = np.unique(row, return_index=True)[1]
    with np.errstate(over="ignore"):
        return TextTable(list(place), array[first].astype(np.float16), row)
