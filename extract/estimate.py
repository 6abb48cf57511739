"""`--dry-run`: what an extraction would do, and, from a sample of it that is really done, what it would take.

The sample goes through the same decoder, encoder and writer, into a folder that is thrown away.
"""

from __future__ import annotations

import math
import re
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..pipeline.errors import CamoeError
from ..pipeline.ffmpeg_binary import find_ffmpeg
from ..pipeline.store import FeatureStore, Shard, StoreSettings, shard_bytes
from ..pipeline.store.agreement import refuse_unlike
from ..pipeline.store.build import StoreBuilder
from ..pipeline.store.chunks import Chunk, make_chunks
from ..pipeline.store.info import size_text
from ..pipeline.store.inventory import Inventory
from ..pipeline.store.live_part import caption_rows
from ..pipeline.store.place import Place
from ..pipeline.store.plan import Plan, planned_now
from ..pipeline.store.schema import WORD_TOKENS, no_videos
from ..pipeline.wording import counted
from .config import ExtractConfig
from .encoder import Encoder
from .ffmpeg import Binary, inspect_binary
from .frames import FrameCounts, FrameWork
from .inputs import Inputs, choose_batch, choose_encoder, make_settings, read_inputs, store_of
from .pending import pending_items
from .reconcile import compare_captions, text_work
from .streams import text_names
from .texts import TextPlan, describe_size, extract_texts
from .words import WordTagger, load_tagger

_LEAST_VIDEOS, _MOST_VIDEOS, _CAPTIONS = 8, 64, 256


@dataclass(frozen=True)
class Sample:
    """What `count` of `total` videos or captions took: seconds, and bytes in the store."""

    total: int = 0
    count: int = 0
    seconds: float = 0.0
    size: float = 0.0

    @property
    def total_seconds(self) -> float:
        return self.seconds / self.count * self.total if self.count else 0.0

    @property
    def total_size(self) -> float:
        return self.size / self.count * self.total if self.count else 0.0


@dataclass(frozen=True)
class Estimate:
    """What there is to do, and what it takes on one machine like this one; `start_s` passes before the work begins."""

    store: Path
    videos: Sample
    captions: Sample
    chunks: int
    shard_size: int
    start_s: float
    held_size: int
    word_tokens: str | None = None
    """How large the word tokens become, in words; none where none are made."""

    @property
    def seconds(self) -> float:
        return self.start_s + self.videos.total_seconds + self.captions.total_seconds

    def machines(self, within_s: float) -> int | None:
        """How many machines bring it under so many seconds; `None` where none do, for captions are made by one."""
        left = within_s - self.start_s - self.captions.total_seconds
        if self.seconds <= within_s:
            return 1
        return math.ceil(self.videos.total_seconds / left) if left > 0 else None


def estimate(config: ExtractConfig) -> Estimate:
    """What `extract(config)` would do and take; nothing is written where the store is or will be.

    Raises `CamoeError` where `extract` would.
    """
    began = time.monotonic()
    there = store_of(config)
    inputs = read_inputs(config, there)
    binary = inspect_binary(find_ffmpeg(config.ffmpeg)) if config.videos is not None else None
    tagger = load_tagger(config.tagger)
    encoder = choose_encoder(config, there)
    settings = make_settings(config, inputs, encoder, binary, tagger.name, there)
    place = Place.of(config.store)
    if there is not None:
        refuse_unlike(place.out, there.settings, settings, adding=config.into is not None)
    chunks = _chunks(config, inputs, there, place)
    start_s = time.monotonic() - began
    batch_size = choose_batch(config, there, Plan.read(place), encoder)
    frame_settings = replace(
        settings, batch_size=batch_size, streams=None, strategies=None, tagger=None, captions_sha256=None
    )
    with tempfile.TemporaryDirectory(prefix="camoe-dry-run-") as folder:
        captions, word_tokens = _sample_captions(config, inputs, there, encoder, tagger, settings, Path(folder))
        videos = Sample()
        if chunks and binary is not None:
            videos = _sample_videos(config, chunks, encoder, binary, frame_settings, Path(folder) / "frames")
    held = sum(path.stat().st_size for path in place.shards())
    return Estimate(config.store, videos, captions, len(chunks), config.shard_size, start_s, held, word_tokens)


def _chunks(config: ExtractConfig, inputs: Inputs, there: FeatureStore | None, place: Place) -> list[Chunk]:
    if config.videos is None:
        return []
    held = Inventory.of(there) if there is not None else Inventory()
    pending = pending_items(
        inputs.items, held, retry_failed=config.retry_failed, replace_changed=config.replace_changed
    )
    plan = planned_now(place, there, pending, config.videos, chunk_size=config.shard_size)
    return make_chunks(plan, {item.id for item in pending}, there)


def _sample_videos(
    config: ExtractConfig,
    chunks: Sequence[Chunk],
    encoder: Encoder,
    binary: Binary,
    settings: StoreSettings,
    folder: Path,
) -> Sample:
    """Some videos, spread over all of them, extracted after one that warms everything up."""
    assert config.videos is not None
    assert settings.batch_size is not None
    batch_size = settings.batch_size
    videos = [video for chunk in chunks for video in chunk.videos]
    count = min(len(videos), _MOST_VIDEOS, max(_LEAST_VIDEOS, 2 * config.worker_count))
    chosen = tuple(videos[row] for row in np.linspace(0, len(videos) - 1, count).astype(int).tolist())
    folder.mkdir()
    clip = config.clip or settings.clip_model
    work = FrameWork(
        Place.of(folder), settings, config.videos, binary, clip, config.clip_cache, config.device, config.timeout,
        config.worker_count, batch_size,
    )  # fmt: skip
    worker = work.worker(encoder)
    list(worker.work([Chunk(0, "warm.h5", 1, chosen[:1])]))
    batch = np.zeros((batch_size, encoder.resolution, encoder.resolution, 3), np.uint8)
    began = time.monotonic()
    encoder.encode_frames(batch)
    batch_s, began = time.monotonic() - began, time.monotonic()
    counts = sum(worker.work([Chunk(0, "sample.h5", 1, chosen)]), FrameCounts())
    seconds = time.monotonic() - began
    batches = counts.frames / batch_size
    padding_s = (math.ceil(batches) - batches) * batch_s  # the last batch of a long run does not count
    empty = len(shard_bytes(Shard(settings, videos=no_videos(settings))))
    size = (folder / "sample.h5").stat().st_size - empty + empty * count / config.shard_size
    return Sample(len(videos), count, max(seconds - padding_s, 0.1 * seconds), size)


def _sample_captions(
    config: ExtractConfig,
    inputs: Inputs,
    there: FeatureStore | None,
    encoder: Encoder,
    tagger: WordTagger,
    settings: StoreSettings,
    folder: Path,
) -> tuple[Sample, str | None]:
    """Some captions of those to be made, and what is said of their word tokens' size.

    An upper bound, for sentences that recur are made once.
    """
    found = compare_captions(
        inputs.captions, there, out=config.store, may_change=config.into is not None, tokens=config.tokens
    )
    if found is None:
        return Sample(), None
    names = text_names(config.strategies, inputs.streams) if inputs.captions is not None else []
    work = text_work(
        found,
        [*names, WORD_TOKENS] if config.tokens else names,
        there,
        captions_per_shard=max(1, len(found.captions.id), len(found.others)),
    )
    if not work:
        return Sample(), None
    total = sum(len(piece.captions.id) for piece in work)
    largest = max(work, key=lambda piece: len(piece.captions.id))
    count = min(_CAPTIONS, len(largest.captions.id))
    rows = np.linspace(0, len(largest.captions.id) - 1, count).astype(np.int64)
    piece = replace(largest, captions=caption_rows(largest.captions, rows), removed=())
    plan = TextPlan(
        tuple(dict.fromkeys(strategy for strategy, _ in piece.names)), inputs.streams, tagger, config.worker_count
    )
    texts_only = replace(settings, fps=None, max_frames=None, sampling=None)
    began = time.monotonic()
    with StoreBuilder(folder / "texts", settings) as builder:
        extract_texts([piece], plan, encoder=encoder, builder=builder, settings=texts_only)
    seconds = time.monotonic() - began
    size = sum(path.stat().st_size for path in (folder / "texts").glob("*.h5"))
    return Sample(total, count, seconds, size), describe_size(work, encoder.embed_dim)


def parse_duration(text: str) -> float:
    """`2h`, `90m`, `1h30m`, `45s` in seconds; raises `CamoeError` for what is none."""
    found = re.fullmatch(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?", text.strip().lower())
    seconds = 0.0
    if found is not None:
        seconds = sum(float(value or 0) * unit for value, unit in zip(found.groups(), (3600, 60, 1), strict=True))
    if not seconds:
        raise CamoeError(f"--within {text} should be a time such as 2h, 1h30m or 45m")
    return seconds


def describe_estimate(found: Estimate, within: str | None = None) -> list[str]:
    """The estimate in lines for people."""
    lines = [
        f"a dry run of {found.store}; nothing is written",
        f"to read: {counted(found.videos.total, 'video')} in {counted(found.chunks, 'chunk')}; "
        f"to encode: {counted(found.captions.total, 'caption')}",
    ]
    if found.videos.count:
        rate = found.videos.count / found.videos.seconds
        lines.append(
            f"videos: {_time(found.videos.total_seconds)} on this machine, {rate:.3g} a second "
            f"(measured on {counted(found.videos.count, 'video')})"
        )
    if found.captions.count:
        included = ", word tokens included" if found.word_tokens is not None else ""
        lines.append(
            f"captions: at most {_time(found.captions.total_seconds)}{included} "
            f"(measured on {counted(found.captions.count, 'caption')})"
        )
    if found.word_tokens is not None:
        lines.append(found.word_tokens)
    size = found.held_size + found.videos.total_size + found.captions.total_size
    lines.append(f"in all: {_time(found.seconds)}, and the store then takes about {size_text(round(size))}")
    if within is not None:
        lines.append(_describe_machines(found, within))
    return lines


def _describe_machines(found: Estimate, within: str) -> str:
    count = found.machines(parse_duration(within))
    if count is None:
        return f"within {within}: not by more machines, as starting and the captions take longer"
    if count == 1:
        return f"within {within}: one machine like this one"
    line = f"within {within}: {count} machines like this one, --part 1/{count} to {count}/{count}"
    if count > found.chunks:
        size = max(1, found.videos.total // count)
        line += f", and more chunks than {found.chunks}: give --shard-size {size} before anything is planned"
    return line


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
