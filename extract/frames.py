"""Stage 1, videos: decode, encode and write at the same time.

Threads each run one ffmpeg child; the main thread fills encoder batches across videos, so that they are always full
and of one size; one thread publishes finished shards. Queues between them are bounded, so memory does not grow with
the number of videos.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..pipeline.store import DAMAGED, OK, Shard, StoreSettings, Videos
from ..pipeline.store.build import StoreBuilder
from ..pipeline.store.failures import FAILED, PARTIAL, Failure
from .clip_encoder import ClipEncoder
from .datasets import VideoItem
from .video import DecodedVideo, Decoder, FrameDecodeError, Window

Decoded = DecodedVideo | FrameDecodeError | BaseException


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
    embedding: np.ndarray
    missing: int


@dataclass
class _OpenShard:
    """A shard's items that are still to come, and the videos that are done."""

    waiting: int
    done: list[_OpenVideo] = field(default_factory=list)


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

    What cannot be decoded is recorded with the builder and counted. Raises `RunStoppedError` when a shard cannot be
    written; shards published before are intact.
    """
    run = _FrameRun(encoder, builder, settings, root, batch_size, on_video)
    shards = {item.id: number // shard_size for number, item in enumerate(items)}
    run.open_shards = {number: _OpenShard(0) for number in set(shards.values())}
    for number in shards.values():
        run.open_shards[number].waiting += 1
    with ThreadPoolExecutor(1, "publish") as publisher:
        run.publisher = publisher
        with closing(_decode_ahead(items, decoder, workers)) as ready:
            for item, decoded in ready:
                run.take(item, decoded, shards[item.id])
        run.flush()
        run.wait()
    return run.counts


class _FrameRun:
    def __init__(
        self,
        encoder: ClipEncoder,
        builder: StoreBuilder,
        settings: StoreSettings,
        root: Path,
        batch_size: int,
        on_video: Callable[[FrameCounts], None],
    ) -> None:
        self.encoder, self.builder, self.settings, self.root = encoder, builder, settings, root
        self.batch_size, self.on_video = batch_size, on_video
        self.counts = FrameCounts()
        self.open_shards: dict[int, _OpenShard] = {}
        self.publisher: ThreadPoolExecutor
        self._published: list[Future[None]] = []
        self._shard_of: dict[str, int] = {}
        self._pending: list[tuple[_OpenVideo, int]] = []
        self._resolution = encoder.resolution

    def take(self, item: VideoItem, decoded: Decoded, shard: int) -> None:
        self._shard_of[item.id] = shard
        if isinstance(decoded, FrameDecodeError):
            self._fail(item, decoded.reason)
        elif isinstance(decoded, BaseException):
            raise decoded
        else:
            if decoded.damage is not None:
                self.builder.record(Failure(item.id, str(item.path), PARTIAL, decoded.damage))
            video = _OpenVideo(
                item, decoded, np.empty((len(decoded.frames), self.encoder.embed_dim), np.float16), len(decoded.frames)
            )
            for frame in range(len(decoded.frames)):
                self._pending.append((video, frame))
                if len(self._pending) == self.batch_size:
                    self.flush()
        self.on_video(self.counts)

    def _fail(self, item: VideoItem, reason: str) -> None:
        self.counts.failed += 1
        self.builder.record(Failure(item.id, str(item.path), FAILED, reason))
        self._leave(item.id)

    def flush(self) -> None:
        """Encode the pending frames as one batch of the usual size."""
        if not self._pending:
            return
        batch = np.zeros((self.batch_size, self._resolution, self._resolution, 3), np.uint8)
        for row, (video, frame) in enumerate(self._pending):
            batch[row] = video.decoded.frames[frame]
        embeddings = self.encoder.encode_frames(batch).numpy().astype(np.float16)
        for row, (video, frame) in enumerate(self._pending):
            video.embedding[frame] = embeddings[row]
            video.missing -= 1
            if video.missing == 0:
                self._complete(video)
        self._pending.clear()

    def _complete(self, video: _OpenVideo) -> None:
        if not np.isfinite(video.embedding).all():
            self._fail(video.item, "its embeddings are not finite numbers; try --precision fp32")
            return
        damaged = video.decoded.damage is not None
        self.counts.damaged += damaged
        self.counts.ok += not damaged
        self.counts.frames += len(video.embedding)
        video.decoded = _without_pixels(video.decoded)
        self.open_shards[self._shard_of[video.item.id]].done.append(video)
        self._leave(video.item.id)

    def _leave(self, video_id: str) -> None:
        number = self._shard_of.pop(video_id)
        shard = self.open_shards[number]
        shard.waiting -= 1
        if shard.waiting == 0:
            del self.open_shards[number]
            if shard.done:
                self._publish(shard.done)

    def _publish(self, videos: list[_OpenVideo]) -> None:
        for finished in [future for future in self._published if future.done()]:
            finished.result()
            self._published.remove(finished)
        shard = Shard(self.settings, videos=_as_videos(videos, self.root, self.settings.max_frames or 0))
        self._published.append(self.publisher.submit(self.builder.publish, shard))

    def wait(self) -> None:
        for future in self._published:
            future.result()


def _without_pixels(decoded: DecodedVideo) -> DecodedVideo:
    return DecodedVideo(
        decoded.frames[:0], decoded.times_s, decoded.duration_s, decoded.size, decoded.mtime, decoded.damage
    )


def _as_videos(videos: list[_OpenVideo], root: Path, max_frames: int) -> Videos:
    videos = sorted(videos, key=lambda video: video.item.id)
    count = np.array([len(video.embedding) for video in videos])
    frames = np.zeros((len(videos), max_frames, videos[0].embedding.shape[1]), np.float16)
    times = np.full((len(videos), max_frames), np.nan, np.float32)
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
    )


def relative_source(path: Path, root: Path) -> str:
    """A source's path relative to the videos' folder, with `/`."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


def _decode_ahead(
    items: Sequence[VideoItem], decoder: Decoder, workers: int
) -> Generator[tuple[VideoItem, Decoded], None, None]:
    """Decoded videos as they are ready, with at most a few more than `workers` of them waiting."""
    ready: queue.Queue[tuple[VideoItem, Decoded]] = queue.Queue(maxsize=workers + 2)
    source = iter(items)
    lock, stopping = threading.Lock(), threading.Event()

    def work() -> None:
        while not stopping.is_set():
            with lock:
                item = next(source, None)
            if item is None:
                return
            outcome = _decode_one(decoder, item)
            while not stopping.is_set():
                with suppress(queue.Full):
                    ready.put((item, outcome), timeout=0.2)
                    break

    threads = [threading.Thread(target=work, name=f"decode-{number}", daemon=True) for number in range(workers)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(len(items)):
            yield ready.get()
    finally:
        stopping.set()
        decoder.children.cancel()
        for thread in threads:
            thread.join()


def _decode_one(decoder: Decoder, item: VideoItem) -> Decoded:
    try:
        window = Window(item.start_s or 0.0, item.end_s)
        return decoder.decode(item.path, window)
    except FrameDecodeError as error:
        return error
    except BaseException as error:  # handed to the main thread, which raises it
        return error
