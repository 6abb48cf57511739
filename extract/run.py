"""Stage 1 from end to end: videos and captions become a feature store."""

from __future__ import annotations

import platform
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Protocol

from ..pipeline.captions.names import without_suffix
from ..pipeline.errors import CamoeError
from ..pipeline.ffmpeg_binary import find_ffmpeg
from ..pipeline.store import FeatureStore, Shard, StoreSettings
from ..pipeline.store.build import StoreBuilder
from ..pipeline.store.place import Place
from ..pipeline.store.schema import FAILED, FULL, WORD_TOKENS, Removed, no_videos
from .audit import Preview, preview
from .clip_encoder import ClipEncoder
from .clip_layers import read_clip_layers, save_clip_layers
from .clip_weights import TINY, clip_package
from .config import AUTO, DEFAULT_CLIP, ExtractConfig
from .datasets import CaptionSet, VideoFile, VideoItem, load_dataset
from .ffmpeg import Binary, inspect_binary
from .files import find_videos
from .frames import FrameCounts, extract_frames
from .pending import pending_items
from .precision import PRECISIONS
from .reconcile import Reconciled, describe_changes, known_split, reconcile, text_work, unchanged
from .store_streams import streams_beside
from .streams import describe_streams, text_names
from .texts import TextPlan, describe_size, extract_texts
from .video import Decoder
from .words import WordTagger, load_tagger

CAPTIONS_PER_SHARD = 8192
CAPTIONS_PER_SHARD_OF_TOKENS = 2048
"""Of at most 77 tokens each: 160 MB where D is 512."""


class Progress(Protocol):
    """Where a run reports to; the command line draws bars, `Silent` does nothing."""

    def videos(self, total: int) -> AbstractContextManager[Callable[[FrameCounts], None]]: ...

    def captions(self, total: int) -> AbstractContextManager[Callable[[int], None]]: ...

    def note(self, line: str) -> None:
        """A line that people should read before the work begins."""


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
    changes: list[str] = field(default_factory=list)
    """What became of captions that the store had already, in lines for people."""

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
    there = _store_of(config)
    inputs = _read_inputs(config, there)
    binary = inspect_binary(find_ffmpeg(config.ffmpeg)) if config.videos is not None else None
    tagger = load_tagger(config.tagger)
    encoder = _load_encoder(config, there)
    layers = read_clip_layers(encoder, config.clip_layers)
    settings = _settings(config, inputs, encoder, binary, tagger.name)
    with StoreBuilder(config.store, settings, adding=config.into is not None) as builder:
        stage = _Stage(config, inputs, encoder, settings, builder, progress or Silent())
        found = stage.compare_captions()
        pending = pending_items(
            inputs.items if config.videos is not None else [],
            builder.inventory,
            retry_failed=config.retry_failed,
            replace_changed=config.replace_changed,
        )
        stage.forget_gone_failures()
        sentences = stage.add_texts(found, tagger)
        counts = stage.add_videos(pending, binary)
        store = builder.finish()
        save_clip_layers(config.store, layers, encoder)
    captions = inputs.captions
    captioned = set(captions.video_id) if captions is not None else set()
    failed = sum(failure.stage == FAILED for failure in store.failures.values())
    return Extraction(
        store=config.store,
        failures=builder.place.failures,
        frames=counts,
        kept=len(builder.inventory.videos),
        failed=failed,
        damaged=len(store.failures) - failed,
        captions=len(captions.text) if captions is not None else 0,
        sentences=sentences,
        without_captions=sum(item.id not in captioned for item in inputs.items) if captioned else 0,
        skipped_captions=captions.skipped if captions is not None else {},
        changes=_changes(found, config, builder.store),
    )


def _changes(found: Reconciled | None, config: ExtractConfig, store: FeatureStore | None) -> list[str]:
    if found is None or store is None or not store.has_captions:
        return []
    if not (found.fresh or found.changed or found.missing):
        return []
    return describe_changes(found, drop_missing=config.drop_missing_captions)


@dataclass(frozen=True)
class _Stage:
    """What both halves of an extraction need."""

    config: ExtractConfig
    inputs: _Inputs
    encoder: ClipEncoder
    settings: StoreSettings
    builder: StoreBuilder
    progress: Progress

    def compare_captions(self) -> Reconciled | None:
        """The file's captions beside the store's; raises `CamoeError` where a store that only grows would change."""
        if self.inputs.captions is None:
            return self._own_captions() if self.config.tokens else None
        found = reconcile(self.inputs.captions, self.builder.store)
        if self.config.into is None:
            found.refuse_changes(self.config.store)
        return found

    def _own_captions(self) -> Reconciled:
        """Word tokens without a file are those of the store's own captions."""
        store = self.builder.store
        if store is None or not store.has_captions:
            raise CamoeError(f"--tokens: {self.config.store} holds no captions; give --captions FILE")
        return unchanged(store)

    def forget_gone_failures(self) -> None:
        """A retry forgets failures of files that are no longer in the folder."""
        if not self.config.retry_failed:
            return
        gone = sorted(self.builder.inventory.failed - {item.id for item in self.inputs.items})
        if gone:
            settings = self._frame_settings
            self.builder.publish(Shard(settings, videos=no_videos(settings), removed=Removed(videos=tuple(gone))))

    @property
    def _frame_settings(self) -> StoreSettings:
        return replace(self.settings, streams=None, strategies=None, tagger=None, captions_sha256=None)

    def add_texts(self, found: Reconciled | None, tagger: WordTagger) -> int:
        """Bring the store's captions to what the file says; returns how many sentences were encoded."""
        if found is None:
            return 0
        names = text_names(self.config.strategies, self.inputs.streams) if self.inputs.captions is not None else []
        has_tokens = self.config.tokens or (self.builder.store is not None and self.builder.store.has_word_tokens)
        work = text_work(
            found,
            [*names, WORD_TOKENS] if self.config.tokens else names,
            self.builder.store,
            captions_per_shard=CAPTIONS_PER_SHARD_OF_TOKENS if has_tokens else CAPTIONS_PER_SHARD,
            drop_missing=self.config.drop_missing_captions,
        )
        if not work:
            return 0
        size = describe_size(work, self.encoder.embed_dim)
        if size is not None:
            self.progress.note(size)
        strategies = dict.fromkeys(strategy for piece in work for strategy, _ in piece.names)
        plan = TextPlan(tuple(strategies), self.inputs.streams, tagger, self.config.worker_count)
        with self.progress.captions(sum(len(piece.captions.id) for piece in work)) as on_captions:
            return extract_texts(
                work,
                plan,
                encoder=self.encoder,
                builder=self.builder,
                settings=replace(self.settings, fps=None, max_frames=None, sampling=None),
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
                settings=self._frame_settings,
                root=config.videos,
                workers=config.worker_count,
                batch_size=config.batch_size,
                shard_size=config.shard_size,
                on_video=on_video,
            )


def _store_of(config: ExtractConfig) -> FeatureStore | None:
    """What is there of the store that is to be written."""
    place = Place.of(config.store)
    place.check()
    shards = place.shards()
    return FeatureStore.open(shards) if shards else None


def _load_encoder(config: ExtractConfig, there: FeatureStore | None) -> ClipEncoder:
    """The encoder that is asked for; what is left open is as in the store."""
    clip, precision = config.clip, config.precision
    if there is not None and precision == AUTO and there.settings.precision in PRECISIONS:
        precision = there.settings.precision
    if clip is None:
        clip = there.settings.clip_model if there is not None else DEFAULT_CLIP
        if there is not None and clip != TINY and clip not in clip_package().clip._MODELS:
            raise CamoeError(
                f"{config.store} was made with the weights file {clip}; name that file with --clip (its SHA-256 is "
                f"{there.settings.clip_sha256})"
            )
    return ClipEncoder.load(clip, config.device, precision, config.clip_cache)


def _read_inputs(config: ExtractConfig, there: FeatureStore | None) -> _Inputs:
    streams = streams_beside(config.stream, there.settings.streams if there is not None else None)
    files = find_videos(config.videos) if config.videos is not None else None
    if config.captions is None:
        return _Inputs([VideoItem(file.id, file.path) for file in files or []], None, streams)
    if files is None and config.into is not None and there is not None:
        files = _files_of_store(there)
    captions, items = load_dataset(
        config.dataset_name, config.captions, files, seed=config.seed, known_split=known_split(there)
    )
    return _Inputs(items, captions, streams)


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


def preview_captions(config: ExtractConfig, count: int) -> list[Preview]:
    """What each strategy makes of `count` captions, spread over the file; nothing is encoded or written."""
    inputs = _read_inputs(config, None)
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

    def note(self, line: str) -> None:
        return None
