"""Stage 1, videos: decode, encode and write at the same time.

Threads each run one ffmpeg child; the main thread fills encoder batches across videos, so that they are always full
and of one size; one thread publishes finished shards. What waits between them is bounded, so memory does not grow with
the number of videos.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import numpy as np

from ..pipeline.checksum import fingerprint
from ..pipeline.store import DAMAGED, OK, Shard, StoreSettings, Videos
from ..pipeline.store.build import StoreBuilder
from ..pipeline.store.schema import FAILED, PARTIAL, Failure, Removed, no_videos
from .clip_encoder import ClipEncoder
from .datasets import VideoItem
from .video import DecodedVideo, Decoder, FrameDecodeError, Window

_MOST_UNPUBLISHED = 2
"""Finished shards that may wait for the disk."""


@dataclass
class FrameCounts:
    """What became of the videos of one run."""

    ok: int = 0
    damaged: int = 0
    failed: int = 0
    frames: int = 0


@dataclass
class _OpenVideo:
    """A decoded video whose embeddings are still coming in."""

    item: VideoItem
    decoded: DecodedVideo
    fingerprint: str
    embedding: np.ndarray
    missing: int


@dataclass
class _OpenShard:
    """How many items of a shard are still to come, and what came of the others."""

    waiting: int
    done: list[_OpenVideo] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)


def extract_frames(
    items: Sequence[VideoItem],
    *,
    decoder: Decoder,
    encoder: ClipEncoder,
    builder: StoreBuilder,
    settings: StoreSettings,
    root: Path,
    workers: int,
    batch_size: int,
    shard_size: int,
    on_video: Callable[[FrameCounts], None] = lambda counts: None,
) -> FrameCounts:
    """Decode and encode `items`, publishing a shard for every `shard_size` of them in their order.

    What cannot be decoded is recorded in the shard that it would have been in. Items that the store has already are
    replaced. Raises `RunStoppedError` when a shard cannot be written; shards published before are intact.
    """
    with ThreadPoolExecutor(1, "publish") as publisher:
        run = _FrameRun(items, shard_size, encoder, builder, settings, root, batch_size, publisher)
        with closing(_decode_ahead(items, decoder, workers)) as ready:
            for item, decoding in ready:
                run.take(item, decoding)
                on_video(run.counts)
        run.flush()
        run.wait()
    return run.counts


class _FrameRun:
    """Videos on their way from the decoder through the encoder into shards."""

    def __init__(
        self,
        items: Sequence[VideoItem],
        shard_size: int,
        encoder: ClipEncoder,
        builder: StoreBuilder,
        settings: StoreSettings,
        root: Path,
        batch_size: int,
        publisher: ThreadPoolExecutor,
    ) -> None:
        self.counts = FrameCounts()
        self._encoder, self._builder, self._settings, self._root = encoder, builder, settings, root
        self._publisher = publisher
        self._unpublished: list[Future[None]] = []
        self._shard_of: dict[str, _OpenShard] = {}
        for start in range(0, len(items), shard_size):
            part = items[start : start + shard_size]
            shard = _OpenShard(len(part))
            self._shard_of |= {item.id: shard for item in part}
        self._pending: list[tuple[_OpenVideo, int]] = []
        self._batch = np.zeros((batch_size, encoder.resolution, encoder.resolution, 3), np.uint8)

    def take(self, item: VideoItem, decoding: Future[tuple[DecodedVideo, str]]) -> None:
        """Queue a video's frames for the encoder, or record why there are none."""
        try:
            decoded, print_ = decoding.result()
        except FrameDecodeError as error:
            self._fail(item, error.reason)
            return
        embedding = np.empty((len(decoded.frames), self._encoder.embed_dim), np.float16)
        video = _OpenVideo(item, decoded, print_, embedding, len(decoded.frames))
        for frame in range(len(decoded.frames)):
            self._pending.append((video, frame))
            if len(self._pending) == len(self._batch):
                self.flush()

    def _fail(self, item: VideoItem, reason: str) -> None:
        self.counts.failed += 1
        self._shard_of[item.id].failures.append(Failure(item.id, str(item.path), FAILED, reason))
        self._leave(item.id)

    def flush(self) -> None:
        """Encode the pending frames as one batch of the usual size."""
        if not self._pending:
            return
        self._batch[:] = 0
        for row, (video, frame) in enumerate(self._pending):
            self._batch[row] = video.decoded.frames[frame]
        embeddings = self._encoder.encode_frames(self._batch).numpy().astype(np.float16)
        for row, (video, frame) in enumerate(self._pending):
            video.embedding[frame] = embeddings[row]
            video.missing -= 1
            if video.missing == 0:
                self._complete(video)
        self._pending.clear()

    def _complete(self, video: _OpenVideo) -> None:
        item, damage = video.item, video.decoded.damage
        if not np.isfinite(video.embedding).all():
            self._fail(item, "its embeddings are not finite numbers; try --precision fp32")
            return
        shard = self._shard_of[item.id]
        if damage is not None:
            shard.failures.append(Failure(item.id, str(item.path), PARTIAL, damage))
        self.counts.damaged += damage is not None
        self.counts.ok += damage is None
        self.counts.frames += len(video.embedding)
        video.decoded = replace(video.decoded, frames=video.decoded.frames[:0])
        shard.done.append(video)
        self._leave(item.id)

    def _leave(self, video_id: str) -> None:
        shard = self._shard_of.pop(video_id)
        shard.waiting -= 1
        if shard.waiting == 0 and (content := self._content(shard)) is not None:
            self.wait(_MOST_UNPUBLISHED - 1)
            self._unpublished.append(self._publisher.submit(self._builder.publish, content))

    def _content(self, shard: _OpenShard) -> Shard | None:
        """The finished shard; `None` where it would tell nothing that the store does not tell."""
        held = self._builder.inventory
        new = [failure for failure in shard.failures if held.failures.get(failure.id) != failure]
        if not shard.done and not new:
            return None
        ids = [video.item.id for video in shard.done] + [failure.id for failure in shard.failures]
        removed = sorted({video_id for video_id in ids if video_id in held.videos})
        return Shard(
            self._settings,
            videos=_as_videos(shard.done, self._root, self._settings),
            failures=tuple(sorted(shard.failures, key=lambda failure: failure.id)),
            removed=Removed(videos=tuple(removed)),
        )

    def wait(self, most: int = 0) -> None:
        """Wait until at most so many shards are unpublished; raises what publishing raised."""
        while len(self._unpublished) > most:
            self._unpublished.pop(0).result()


def _as_videos(videos: list[_OpenVideo], root: Path, settings: StoreSettings) -> Videos:
    if not videos:
        return no_videos(settings)
    videos = sorted(videos, key=lambda video: video.item.id)
    count = np.array([len(video.embedding) for video in videos])
    frames = np.zeros((len(videos), settings.max_frames or 1, settings.embed_dim), np.float16)
    times = np.full(frames.shape[:2], np.nan, np.float32)
    for row, video in enumerate(videos):
        frames[row, : count[row]] = video.embedding
        times[row, : count[row]] = video.decoded.times_s
    return Videos(
        id=[video.item.id for video in videos],
        source=[relative_source(video.item.path, root) for video in videos],
        source_size=np.array([video.decoded.size for video in videos]),
        source_mtime=np.array([video.decoded.mtime for video in videos]),
        duration_s=np.array([video.decoded.duration_s for video in videos], np.float32),
        status=[DAMAGED if video.decoded.damage is not None else OK for video in videos],
        frame_count=count,
        frames=frames,
        frame_time_s=times,
        fingerprint=[video.fingerprint for video in videos],
    )


def relative_source(path: Path, root: Path) -> str:
    """A source's path relative to the videos' folder, with `/`."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


def _decode_ahead(
    items: Sequence[VideoItem], decoder: Decoder, workers: int
) -> Generator[tuple[VideoItem, Future[tuple[DecodedVideo, str]]], None, None]:
    """Videos with their finished decoding as they are ready, at most a few more than `workers` of them waiting."""
    source = iter(items)
    with ThreadPoolExecutor(workers, "decode") as pool:
        running = {pool.submit(_decode, decoder, item): item for item in islice(source, workers + 2)}
        try:
            while running:
                for decoding in wait(running, return_when=FIRST_COMPLETED).done:
                    item = running.pop(decoding)
                    running |= {pool.submit(_decode, decoder, item): item for item in islice(source, 1)}
                    yield item, decoding
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            decoder.children.cancel()


def _decode(decoder: Decoder, item: VideoItem) -> tuple[DecodedVideo, str]:
    """The frames, and the fingerprint of the file that they came from."""
    decoded = decoder.decode(item.path, Window(item.start_s or 0.0, item.end_s))
    try:
        return decoded, fingerprint(item.path)
    except OSError as error:
        raise FrameDecodeError(f"it cannot be read any more ({error.strerror})") from error
