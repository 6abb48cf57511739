"""What an extraction works on: videos, captions and streams, the model, and the settings that the store will state."""

from __future__ import annotations

import platform
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from ..pipeline.captions.collector import subset_sizes
from ..pipeline.captions.names import plain_name, without_suffix
from ..pipeline.captions.own import PROTOCOL as OWN
from ..pipeline.errors import CamoeError
from ..pipeline.store import FeatureStore, StoreSettings
from ..pipeline.store.agreement import refuse_unlike
from ..pipeline.store.place import Place
from ..pipeline.store.plan import Plan
from ..pipeline.store.schema import FULL, UNUSED
from ..pipeline.store.shortfall import more_lacking
from ..pipeline.wording import short_hash
from .config import AUTO, DEFAULT_CLIP, ExtractConfig
from .datasets import CaptionSet, VideoFile, VideoItem, load_dataset
from .datasets.subtitles import SECONDS
from .encoder import Encoder
from .encoders import file_form, is_fixed, is_named, load_encoder
from .ffmpeg import Binary
from .files import find_videos
from .precision import BATCH_BEFORE, PRECISIONS
from .reconcile import known_split
from .store_streams import streams_beside
from .streams import describe_streams


@dataclass(frozen=True)
class Inputs:
    """The videos to extract, the captions where there are any, and the streams' definitions."""

    items: list[VideoItem]
    captions: CaptionSet | None
    streams: dict[str, str]


def store_of(config: ExtractConfig) -> FeatureStore | None:
    """What is there of the store that is to be written."""
    place = Place.of(config.store)
    place.check()
    shards = place.shards()
    return FeatureStore.open(shards) if shards else None


def choose_encoder(config: ExtractConfig, there: FeatureStore | None) -> Encoder:
    """The encoder that is asked for; what is left open is as in the store, or as its plan says."""
    clip, precision = config.clip, config.precision
    begun = _precisions_there(config, there)
    if begun and precision == AUTO and not config.mix_precisions and begun[0] in PRECISIONS:
        precision = begun[0]
    if clip is None:
        clip = there.settings.clip_model if there is not None else DEFAULT_CLIP
        if there is not None and not is_named(clip):
            raise CamoeError(
                f"{config.store} was made with the weights file {clip}; name that file with --clip "
                f"{file_form(clip)} (the store's SHA-256 begins with {short_hash(there.settings.clip_sha256)})"
            )
    elif there is not None and is_fixed(clip) and is_fixed(there.settings.clip_model):  # before any are fetched
        refuse_unlike(config.store, there.settings, replace(there.settings, clip_model=clip), adding=True)
    return load_encoder(clip, config.device, precision, config.clip_cache)


def _precisions_there(config: ExtractConfig, there: FeatureStore | None) -> tuple[str, ...]:
    """Those that the store was made in so far, the one that it was begun in first; empty where there is nothing yet."""
    if there is not None:
        return there.settings.precisions
    begun = Plan.read(Place.of(config.store)).begun
    return (begun.precision,) if begun is not None else ()


def _stated_precision(config: ExtractConfig, there: FeatureStore | None, own: str) -> str:
    """What shards of this run say: behind the one that the store was begun in its own, where that is let in."""
    begun = _precisions_there(config, there)
    if not begun or begun[0] == own or not (config.mix_precisions or own in begun):
        return own
    return f"{begun[0]},{own}"


def choose_batch(config: ExtractConfig, there: FeatureStore | None, plan: Plan, encoder: Encoder) -> int:
    """Frames a batch: as asked for, else as the store or its plan was begun, else as suits the device.

    Batches of another size round differently in the last bits, so a store goes on as it was begun.
    """
    if config.batch_size is not None:
        return config.batch_size
    if there is not None and there.settings.batch_size is not None:
        return there.settings.batch_size
    if plan.begun is not None:
        return plan.begun.batch_size
    is_begun = bool(plan.videos) or (there is not None and bool(there.video_ids))
    return BATCH_BEFORE if is_begun else encoder.batch_size


def read_inputs(config: ExtractConfig, there: FeatureStore | None) -> Inputs:
    """Videos and captions as they are now, without what was dropped from the store."""
    streams = streams_beside(config.stream, there.settings.streams if there is not None else None)
    dropped = frozenset(there.dropped if there is not None else ())
    files = find_videos(config.videos) if config.videos is not None else None
    if config.captions is None:
        kept = [file for file in files or [] if file.id not in dropped]
        return Inputs([VideoItem(file.id, file.path) for file in kept], None, streams)
    if files is None and config.into is not None and there is not None:
        files = _files_of_store(there)
    if files is not None:
        files = files + gone_files(dropped, files)
    captions, items = load_dataset(
        config.dataset_name,
        config.captions,
        files,
        columns=config.columns,
        subtitle_seconds=SECONDS if config.subtitle_seconds is None else config.subtitle_seconds,
        seed=config.seed,
        known_split=dict.fromkeys(dropped, UNUSED) | known_split(there),
    )
    return Inputs([item for item in items if item.id not in dropped], without_dropped(captions, dropped), streams)


def gone_files(dropped: Collection[str], files: Sequence[VideoFile]) -> list[VideoFile]:
    """Dropped videos whose files are no longer there, so that captions of them are not said to be of no video."""
    there = {plain_name(file.id.rpartition("/")[2]) for file in files}
    names = ((video_id, video_id.rpartition("/")[2]) for video_id in sorted(dropped))
    return [
        VideoFile(video_id, Path(video_id))
        for video_id, name in names
        if not {plain_name(name), plain_name(name.rpartition("@")[0])} & there
    ]


def without_dropped(captions: CaptionSet, dropped: frozenset[str]) -> CaptionSet:
    """The captions but for those of dropped videos, which are windows or names of a benchmark's own."""
    rows = [row for row, video_id in enumerate(captions.video_id) if video_id not in dropped]
    left_out = len(captions.text) - len(rows)
    if not left_out:
        return captions
    chosen = np.array(rows, np.int64)
    shortfall = dict(captions.shortfall)
    for name, codes in captions.protocols.items():
        had, has = (subset_sizes(captions.video_id, part) for part in (codes, _only(codes, chosen)))
        if name != OWN and had != has:
            used = np.flatnonzero(codes != UNUSED).tolist()
            lost = sorted(dropped.intersection(captions.video_id[row] for row in used))
            shortfall[name] = more_lacking(shortfall.get(name, {}), had, has, lost)
    return replace(
        captions,
        shortfall=shortfall,
        caption_id=[captions.caption_id[row] for row in rows],
        video_id=[captions.video_id[row] for row in rows],
        text=[captions.text[row] for row in rows],
        protocols={name: codes[chosen] for name, codes in captions.protocols.items()},
        skipped=captions.skipped | {"its video was dropped from the store": left_out},
        row=[captions.row[row] for row in rows] if captions.row else [],
    )


def _only(codes: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Subset codes of some rows; the others are unused."""
    kept = np.full_like(codes, UNUSED)
    kept[rows] = codes[rows]
    return kept


def _files_of_store(store: FeatureStore) -> list[VideoFile] | None:
    """The files that a store was made from, so that captions added later meet the same videos and split alike."""
    if not store.video_ids:
        return None
    sources = [source.decode() for source in store.video_column("source").tolist()]
    files = {
        _file_id(video_id, source): Path(source) for video_id, source in zip(store.video_ids, sources, strict=True)
    }
    files |= {failure.id: Path(failure.path) for failure in store.failures.values()}
    return [VideoFile(name, files[name]) for name in sorted(files)]


def _file_id(video_id: str, source: str) -> str:
    """The id of the file that a video is, or is a window of; features made elsewhere have sources of other names."""
    stem = without_suffix(source)
    return stem if video_id.startswith(f"{stem}@") else video_id


def make_settings(
    config: ExtractConfig,
    inputs: Inputs,
    encoder: Encoder,
    binary: Binary | None,
    tagger: str,
    there: FeatureStore | None,
) -> StoreSettings:
    """What the store will state of itself: the model, and of frames and texts what is to be made."""
    settings = StoreSettings(
        clip_model=encoder.weights.name,
        clip_sha256=encoder.weights.identity,
        clip_logit_scale=round(encoder.logit_scale, 4),
        clip_logit_bias=None if encoder.logit_bias is None else round(encoder.logit_bias, 4),
        embed_dim=encoder.embed_dim,
        precision=_stated_precision(config, there, encoder.precision),
        versions=_versions(encoder, binary),
    )
    if binary is not None:
        settings = replace(settings, fps=config.fps, max_frames=config.max_frames, sampling=config.sampling)
    if inputs.captions is not None:
        settings = replace(
            settings,
            streams=describe_streams(inputs.streams),
            strategies=tuple(dict.fromkeys((FULL, *config.strategies))),
            tagger=tagger,
            captions_sha256=inputs.captions.sha256,
        )
    return settings


def _versions(encoder: Encoder, binary: Binary | None) -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in ("camoe", "torch", *encoder.packages, "h5py"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    return found | ({"ffmpeg": binary.version} if binary is not None else {})
