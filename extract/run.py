"""Stage 1 from end to end: videos and captions become a feature store."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Protocol

from ..pipeline.captions.names import without_suffix
from ..pipeline.errors import CamoeError
from ..pipeline.ffmpeg_binary import find_ffmpeg
from ..pipeline.store import FeatureStore, StoreSettings
from ..pipeline.store.build import StoreBuilder
from ..pipeline.store.failures import failures_path, read_failures
from ..pipeline.store.schema import FULL
from .audit import Preview, preview
from .clip_encoder import ClipEncoder
from .config import ExtractConfig
from .datasets import CaptionSet, VideoFile, VideoItem, load_dataset
from .ffmpeg import Binary, inspect_binary
from .files import find_videos
from .frames import FrameCounts, extract_frames
from .streams import describe_streams, parse_streams, text_names
from .texts import TextPlan, extract_texts, pending_captions
from .video import Decoder
from .words import WordTagger, load_tagger

CAPTIONS_PER_SHARD = 8192


class Progress(Protocol):
    """Where a run reports to; the command line draws bars, `Silent` does nothing."""

    def videos(self, total: int) -> AbstractContextManager[Callable[[FrameCounts], None]]: ...

    def captions(self, total: int) -> AbstractContextManager[Callable[[int], None]]: ...


@dataclass(frozen=True)
class Extraction:
    """What a run did, and what the store then holds.

    `frames` counts this run's videos; `kept` those that were in the store before; `failed` all whose frames it lacks.
    """

    store: Path
    failures: Path
    frames: FrameCounts
    kept: int
    failed: int
    damaged: int
    captions: int
    sentences: int
    without_captions: int
    skipped_captions: dict[str, int] = field(default_factory=dict)

    @property
    def exit_status(self) -> int:
        """0 when every video was read whole, else 3."""
        return 3 if self.failed or self.damaged else 0


@dataclass(frozen=True)
class _Inputs:
    items: list[VideoItem]
    captions: CaptionSet | None
    streams: dict[str, str]


def extract(config: ExtractConfig, progress: Progress | None = None) -> Extraction:
    """Write or continue the store that `config` describes; returns what was done.

    Raises `CamoeError` before anything is written when an input cannot be used or the store was made with other
    settings or from other files, and `RunStoppedError` when the disk refuses, with finished shards intact.
    """
    inputs = _read_inputs(config)
    binary = inspect_binary(find_ffmpeg(config.ffmpeg)) if config.videos is not None else None
    tagger = load_tagger(config.tagger)
    encoder = ClipEncoder.load(config.clip, config.device, config.precision, config.clip_cache)
    settings = _settings(config, inputs, encoder, binary, tagger.name)
    with StoreBuilder(config.store, settings, adding=config.into is not None) as builder:
        stage = _Stage(config, inputs, encoder, settings, builder, progress or Silent())
        pending = _pending_items(config, inputs.items, builder)
        kept = len(builder.known_videos)
        sentences = stage.add_texts(tagger)
        counts = stage.add_videos(pending, binary)
        builder.finish()
        captions = inputs.captions
        captioned = set(captions.video_id) if captions is not None else set()
        return Extraction(
            store=config.store,
            failures=builder.failures_path,
            frames=counts,
            kept=kept,
            failed=len(builder.failed),
            damaged=len(builder.failures) - len(builder.failed),
            captions=len(captions.text) if captions is not None else 0,
            sentences=sentences,
            without_captions=sum(item.id not in captioned for item in inputs.items) if captioned else 0,
            skipped_captions=captions.skipped if captions is not None else {},
        )


@dataclass(frozen=True)
class _Stage:
    """What both halves of an extraction need."""

    config: ExtractConfig
    inputs: _Inputs
    encoder: ClipEncoder
    settings: StoreSettings
    builder: StoreBuilder
    progress: Progress

    def add_texts(self, tagger: WordTagger) -> int:
        """Add what the store lacks of the captions; returns how many sentences were encoded."""
        captions, streams = self.inputs.captions, self.inputs.streams
        if captions is None:
            return 0
        pending = pending_captions(captions, text_names(self.config.strategies, streams), self.builder)
        if not pending:
            return 0
        with self.progress.captions(sum(len(rows) for _, rows in pending)) as on_captions:
            return extract_texts(
                captions,
                pending,
                TextPlan(self.config.strategies, streams, tagger, self.config.worker_count),
                encoder=self.encoder,
                builder=self.builder,
                settings=replace(self.settings, fps=None, max_frames=None, sampling=None),
                captions_per_shard=CAPTIONS_PER_SHARD,
                on_progress=on_captions,
            )

    def add_videos(self, items: list[VideoItem], binary: Binary | None) -> FrameCounts:
        """Decode and encode `items`."""
        config = self.config
        if not items or binary is None or config.videos is None:
            return FrameCounts()
        resolution = self.encoder.resolution
        with self.progress.videos(len(items)) as on_video:
            return extract_frames(
                items,
                decoder=Decoder(binary, resolution, config.fps, config.max_frames, config.sampling, config.timeout),
                encoder=self.encoder,
                builder=self.builder,
                settings=replace(self.settings, streams=None, strategies=None, tagger=None, captions_sha256=None),
                root=config.videos,
                workers=config.worker_count,
                batch_size=config.batch_size,
                shard_size=config.shard_size,
                on_video=on_video,
            )


def _read_inputs(config: ExtractConfig) -> _Inputs:
    streams = parse_streams(config.stream)
    files = find_videos(config.videos) if config.videos is not None else None
    if config.captions is None:
        return _Inputs([VideoItem(file.id, file.path) for file in files or []], None, streams)
    captions, items = load_dataset(
        config.dataset_name, config.captions, files or _files_of_store(config), seed=config.seed
    )
    return _Inputs(items, captions, streams)


def _files_of_store(config: ExtractConfig) -> list[VideoFile] | None:
    """The files that a store was made from, so that captions added later meet the same videos and split alike."""
    if config.into is None:
        return None
    store = FeatureStore.open(config.into)
    if not store.video_ids:
        return None
    sources = [Path(source.decode()) for source in store.video_column("source").tolist()]
    files = {without_suffix(source.as_posix()): source for source in sources}
    files |= {failure.id: Path(failure.path) for failure in read_failures(failures_path(config.into)).values()}
    return [VideoFile(name, files[name]) for name in sorted(files)]


def preview_captions(config: ExtractConfig, count: int) -> list[Preview]:
    """What each strategy makes of `count` captions, spread over the file; nothing is encoded or written."""
    inputs = _read_inputs(config)
    if inputs.captions is None:
        raise CamoeError("--preview shows captions; give --captions FILE")
    return preview(inputs.captions.text, config.strategies, inputs.streams, load_tagger(config.tagger), count)


def _settings(
    config: ExtractConfig, inputs: _Inputs, encoder: ClipEncoder, binary: Binary | None, tagger: str
) -> StoreSettings:
    settings = StoreSettings(
        clip_model=encoder.weights.name,
        clip_sha256=encoder.weights.sha256,
        clip_logit_scale=round(encoder.logit_scale, 4),
        embed_dim=encoder.embed_dim,
        precision=encoder.precision,
        versions=_versions(binary),
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


def _versions(binary: Binary | None) -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in ("camoe", "torch", "clip-anytorch", "h5py"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    return found | ({"ffmpeg": binary.version} if binary is not None else {})


def _pending_items(config: ExtractConfig, items: Sequence[VideoItem], builder: StoreBuilder) -> list[VideoItem]:
    """The videos that are still to be read; refuses a store whose sources have changed since."""
    if config.videos is None:
        return []
    for item in items:
        known = builder.known_videos.get(item.id)
        if known is not None:
            _check_unchanged(item, *known)
    if config.retry_failed:
        again = [item for item in items if item.id in builder.failed]
        builder.forget_failures([item.id for item in again])
        return again
    return [item for item in items if item.id not in builder.known_videos and item.id not in builder.failed]


def _check_unchanged(item: VideoItem, size: int, mtime: float) -> None:
    try:
        now = item.path.stat()
    except OSError:
        return
    if now.st_size != size or abs(now.st_mtime - mtime) > 1e-3:
        raise CamoeError(
            f"{item.path} has changed since it was extracted (size {size} then and {now.st_size} now, modified "
            f"{mtime:.3f} then and {now.st_mtime:.3f} now); put the old file back, or make a new store"
        )


class _Nothing(AbstractContextManager[Callable[[object], None]]):
    def __enter__(self) -> Callable[[object], None]:
        return lambda _: None

    def __exit__(self, *_: object) -> None:
        return None


class Silent:
    """Reports nothing."""

    def videos(self, total: int) -> AbstractContextManager[Callable[[FrameCounts], None]]:
        return _Nothing()

    def captions(self, total: int) -> AbstractContextManager[Callable[[int], None]]:
        return _Nothing()
