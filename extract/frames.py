"""Stage 1, videos: decode, encode and write at the same time.

Threads each run one ffmpeg child; the main thread fills encoder batches across videos and chunks, so that they are
always full and of one size; one thread publishes finished shards. What waits between them is bounded, so memory does
not grow with the number of videos.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import astuple, dataclass, field, replace
from itertools import islice
from pathlib import Path

import numpy as np

from ..pipeline.checksum import fingerprint
from ..pipeline.errors import CamoeError, RunStoppedError
from ..pipeline.store import DAMAGED, OK, Shard, StoreSettings, Videos
from ..pipeline.store.chunks import Chunk
from ..pipeline.store.place import Claim, Place
from ..pipeline.store.plan import Planned
from ..pipeline.store.publish import publish_shard
from ..pipeline.store.schema import FAILED, PARTIAL, Failure, Removed, no_videos
from .encoder import Encoder
from .encoders import load_encoder
from .ffmpeg import Binary
from .video import DecodedVideo, Decoder, FrameDecodeError, Window

_MOST_UNPUBLISHED = 2
"""Finished shards that may wait for the disk."""


@dataclass(frozen=True)
class FrameCounts:
    """What became of some videos; `elsewhere` are those of chunks that another run makes, or has made meanwhile."""

    ok: int = 0
    damaged: int = 0
    failed: int = 0
    frames: int = 0
    elsewhere: int = 0

    def __add__(self, other: FrameCounts) -> FrameCounts:
        return FrameCounts(*(one + more for one, more in zip(astuple(self), astuple(other), strict=True)))

    @property
    def videos(self) -> int:
        """How many videos have been dealt with."""
        return self.ok + self.damaged + self.failed + self.elsewhere


@dataclass(frozen=True)
class FrameWork:
    """How frames are made and where shards go: picklable, so that a worker can be made in any process.

    `root` is the folder of videos; `workers` are videos decoded at once; the settings say the model and the sampling.
    """

    place: Place
    settings: StoreSettings
    root: Path
    binary: Binary
    clip: str
    clip_cache: Path | None
    device: str
    timeout_s: float
    workers: int
    batch_size: int
    patience_s: float = 0.0
    """How long one waits for a chunk that another process has: none where it may be another run's."""

    def worker(self, encoder: Encoder | None = None) -> FrameWorker:
        """A worker with `encoder`, or with one that it loads; raises `CamoeError` where that is another model."""
        if encoder is None:
            own = self.settings.precisions[-1]
            encoder = load_encoder(self.clip, self.device, own, self.clip_cache)
        if encoder.weights.identity != self.settings.clip_sha256:
            raise CamoeError(
                f"the weights of {self.clip} here have the SHA-256 {encoder.weights.identity}, and the store's model "
                f"{self.settings.clip_sha256}; put the same file there"
            )
        return FrameWorker(self, encoder)

    def claim(self, chunk: Chunk) -> Claim | None:
        """The right to make a chunk that is not made; `None` where it is another's, or made.

        Raises `RunStoppedError` where one waited for it in vain.
        """
        until = time.monotonic() + self.patience_s
        while (claim := self.place.claim(chunk.number)) is None and time.monotonic() < until:
            time.sleep(0.1)
        if claim is None and self.patience_s:
            raise RunStoppedError(
                f"chunk {chunk.number} of {self.place.out} is held by a process of an earlier try that does not end; "
                "end it, and run the same command again"
            )
        if claim is not None and (self.place.folder / chunk.name).exists():
            claim.release()
            return None
        return claim

    def decoder(self, encoder: Encoder) -> Decoder:
        """What reads a video as the settings say and the encoder takes it."""
        settings = self.settings
        assert settings.fps is not None
        assert settings.max_frames is not None
        assert settings.sampling is not None
        return Decoder(
            self.binary,
            encoder.resolution,
            settings.fps,
            settings.max_frames,
            settings.sampling,
            self.timeout_s,
            resize=encoder.resize,
        )


def extract_chunk(work: FrameWork, chunk: Chunk) -> FrameCounts:
    """Make one chunk, which ends in its shard, and tell what came of it.

    All that the shard holds depends on the arguments and the files that they name; another process that has the chunk
    at this moment, or has made it, is left alone. Raises `RunStoppedError` when the shard cannot be written.
    """
    return sum(work.worker().work([chunk]), FrameCounts())


@dataclass(frozen=True)
class FrameWorker:
    """An encoder and the way to it; does chunks one after another without a pause between them."""

    how: FrameWork
    encoder: Encoder

    def work(self, tasks: Iterable[Chunk]) -> Iterator[FrameCounts]:
        """Publish the shard of each chunk, and tell what came of its videos, a few at a time.

        What cannot be decoded is recorded in the shard that it would have been in. Raises `RunStoppedError` when a
        shard cannot be written; shards published before are intact.
        """
        with ThreadPoolExecutor(1, "publish") as publisher:
            run = _FrameRun(self.how, self.encoder, publisher)
            try:
                decoder = self.how.decoder(self.encoder)
                with closing(_decode_ahead(run.open(tasks), decoder, self.how.root, self.how.workers)) as ready:
                    for video, decoding in ready:
                        run.take(video, decoding)
                        yield run.news()
                run.flush()
                run.wait()
                yield run.news()
            finally:
                run.abandon()


@dataclass
class _OpenVideo:
    """A decoded video whose embeddings are still coming in."""

    video: Planned
    decoded: DecodedVideo
    fingerprint: str
    embedding: np.ndarray
    missing: int


@dataclass
class _OpenChunk:
    """A chunk that is being made: how many of its videos are still to come, and what came of the others."""

    chunk: Chunk
    claim: Claim
    waiting: int
    done: list[_OpenVideo] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)


class _FrameRun:
    """Videos on their way from the decoder through the encoder into shards."""

    def __init__(self, how: FrameWork, encoder: Encoder, publisher: ThreadPoolExecutor) -> None:
        self._how, self._encoder, self._publisher = how, encoder, publisher
        self._news = FrameCounts()
        self._unpublished: list[Future[None]] = []
        self._chunk_of: dict[str, _OpenChunk] = {}
        self._pending: list[tuple[_OpenVideo, slice]] = []
        self._batch = np.zeros((how.batch_size, encoder.resolution, encoder.resolution, 3), np.uint8)

    def open(self, chunks: Iterable[Chunk]) -> Iterator[Planned]:
        """The videos of all chunks that nobody else makes or has made."""
        for chunk in chunks:
            claim = self._how.claim(chunk)
            if claim is None:
                self._news += FrameCounts(elsewhere=len(chunk.videos))
                continue
            opened = _OpenChunk(chunk, claim, len(chunk.videos))
            self._chunk_of |= {video.id: opened for video in chunk.videos}
            yield from chunk.videos

    def news(self) -> FrameCounts:
        """What has come of videos since one asked before."""
        news, self._news = self._news, FrameCounts()
        return news

    def take(self, video: Planned, decoding: Future[tuple[DecodedVideo, str]]) -> None:
        """Queue a video's frames for the encoder, or record why there are none."""
        try:
            decoded, print_ = decoding.result()
        except FrameDecodeError as error:
            self._fail(video, error.reason)
            return
        embedding = np.empty((len(decoded.frames), self._encoder.embed_dim), np.float16)
        opened = _OpenVideo(video, decoded, print_, embedding, len(decoded.frames))
        for alike in _equal_runs(decoded.frames):
            self._pending.append((opened, alike))
            if len(self._pending) == len(self._batch):
                self.flush()

    def _fail(self, video: Planned, reason: str) -> None:
        self._news += FrameCounts(failed=1)
        self._chunk_of[video.id].failures.append(self._failure(video, FAILED, reason))
        self._leave(video.id)

    def _failure(self, video: Planned, stage: str, reason: str) -> Failure:
        return Failure(video.id, video.path, stage, reason)  # the same under any name of the folder

    def flush(self) -> None:
        """Encode the pending frames as one batch of the usual size."""
        if not self._pending:
            return
        self._batch[:] = 0
        for row, (video, alike) in enumerate(self._pending):
            self._batch[row] = video.decoded.frames[alike.start]
        embeddings = self._encoder.encode_frames(self._batch).numpy().astype(np.float16)
        for row, (video, alike) in enumerate(self._pending):
            video.embedding[alike] = embeddings[row]
            video.missing -= alike.stop - alike.start
            if video.missing == 0:
                self._complete(video)
        self._pending.clear()

    def _complete(self, opened: _OpenVideo) -> None:
        video, damage = opened.video, opened.decoded.damage
        if not np.isfinite(opened.embedding).all():
            self._fail(video, "its embeddings are not finite numbers; try --precision fp32")
            return
        chunk = self._chunk_of[video.id]
        if damage is not None:
            chunk.failures.append(self._failure(video, PARTIAL, damage))
        self._news += FrameCounts(ok=damage is None, damaged=damage is not None, frames=len(opened.embedding))
        opened.decoded = replace(opened.decoded, frames=opened.decoded.frames[:0])
        chunk.done.append(opened)
        self._leave(video.id)

    def _leave(self, video_id: str) -> None:
        chunk = self._chunk_of.pop(video_id)
        chunk.waiting -= 1
        if chunk.waiting == 0:
            self.wait(_MOST_UNPUBLISHED - 1)
            self._unpublished.append(self._publisher.submit(self._publish, chunk))

    def _publish(self, opened: _OpenChunk) -> None:
        """The chunk's shard; none where it mends another and would tell nothing that is not told already."""
        try:
            chunk = opened.chunk
            failures = tuple(sorted(opened.failures, key=lambda failure: failure.id))
            if opened.done or set(failures) - set(chunk.told):
                shard = Shard(
                    self._how.settings,
                    videos=_as_videos(opened.done, self._how.settings),
                    failures=failures,
                    removed=Removed(videos=chunk.replaced),
                    order=chunk.order,
                )
                publish_shard(self._how.place, chunk.name, shard)
        finally:
            opened.claim.release()

    def wait(self, most: int = 0) -> None:
        """Wait until at most so many shards are unpublished; raises what publishing raised."""
        while len(self._unpublished) > most:
            self._unpublished.pop(0).result()

    def abandon(self) -> None:
        """Leave the chunks that are not done to others."""
        for opened in {id(opened): opened for opened in self._chunk_of.values()}.values():
            opened.claim.release()
        self._chunk_of.clear()


def _equal_runs(frames: np.ndarray) -> Iterator[slice]:
    """Frames `(N, H, W, 3)` cut where one differs from the one before: of slides and still scenes one is encoded.

    A frame's embedding does not depend on its company, so nothing else changes. A moving scene is told by one line of
    pixels, in microseconds.
    """
    start, line = 0, frames.shape[1] // 2
    for end in range(1, len(frames) + 1):
        if (
            end == len(frames)
            or not np.array_equal(frames[end - 1, line], frames[end, line])
            or not np.array_equal(frames[end - 1], frames[end])
        ):
            yield slice(start, end)
            start = end


def _as_videos(videos: list[_OpenVideo], settings: StoreSettings) -> Videos:
    if not videos:
        return no_videos(settings)
    videos = sorted(videos, key=lambda video: video.video.id)
    count = np.array([len(video.embedding) for video in videos])
    frames = np.zeros((len(videos), settings.max_frames or 1, settings.embed_dim), np.float16)
    times = np.full(frames.shape[:2], np.nan, np.float32)
    for row, video in enumerate(videos):
        frames[row, : count[row]] = video.embedding
        times[row, : count[row]] = video.decoded.times_s
    return Videos(
        id=[video.video.id for video in videos],
        source=[video.video.path for video in videos],
        source_size=np.array([video.decoded.size for video in videos]),
        source_mtime=np.array([video.decoded.mtime for video in videos]),
        duration_s=np.array([video.decoded.duration_s for video in videos], np.float32),
        status=[DAMAGED if video.decoded.damage is not None else OK for video in videos],
        frame_count=count,
        frames=frames,
        frame_time_s=times,
        fingerprint=[video.fingerprint for video in videos],
    )


def _decode_ahead(
    videos: Iterable[Planned], decoder: Decoder, root: Path, workers: int
) -> Generator[tuple[Planned, Future[tuple[DecodedVideo, str]]], None, None]:
    """Videos with their finished decoding as they are ready, at most a few more than `workers` of them waiting."""
    source = iter(videos)
    with ThreadPoolExecutor(workers, "decode") as pool:
        running = {pool.submit(_decode, decoder, video, root): video for video in islice(source, workers + 2)}
        try:
            while running:
                for decoding in wait(running, return_when=FIRST_COMPLETED).done:
                    video = running.pop(decoding)
                    running |= {pool.submit(_decode, decoder, more, root): more for more in islice(source, 1)}
                    yield video, decoding
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            decoder.children.cancel()


def _decode(decoder: Decoder, video: Planned, root: Path) -> tuple[DecodedVideo, str]:
    """The frames of a planned video, and the fingerprint of the file that they came from."""
    path = root / video.path
    decoded = decoder.decode(path, Window(video.start_s or 0.0, video.end_s))
    try:
        if not video.is_same_file(path, decoded.size, decoded.mtime):
            raise FrameDecodeError("the file has changed since the run began; --retry-failed extracts it again")
        return decoded, fingerprint(path)
    except OSError as error:
        raise FrameDecodeError(f"it cannot be read any more ({error.strerror})") from error
