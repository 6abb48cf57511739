"""Stage 1 from end to end: videos and captions become a feature store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Protocol

from ..pipeline.engines import LOCAL, Engine, Share, Wanted, open_engine
from ..pipeline.errors import CamoeError, RunStoppedError
from ..pipeline.ffmpeg_binary import find_ffmpeg
from ..pipeline.store import FeatureStore, Shard, StoreSettings
from ..pipeline.store.build import StoreBuilder
from ..pipeline.store.chunks import Chunk, make_chunks
from ..pipeline.store.part import Part
from ..pipeline.store.place import Place
from ..pipeline.store.plan import Begun, Plan, extend_plan, shard_name
from ..pipeline.store.schema import FAILED, WORD_TOKENS, Removed, no_videos
from ..pipeline.wording import counted
from ..pipeline.writable import check_writable
from .audit import Preview, preview
from .clip_layers import read_clip_layers, save_clip_layers
from .config import DEFAULT_CLIP, ExtractConfig
from .datasets import VideoItem
from .elsewhere import PATIENCE_S, FrameWorkElsewhere
from .encoder import Encoder
from .encoders import tokens_of
from .ffmpeg import Binary, inspect_binary
from .frames import FrameCounts, FrameWork, FrameWorker
from .inputs import Inputs, choose_batch, choose_encoder, make_settings, read_inputs, store_of
from .pending import pending_items
from .reconcile import Reconciled, compare_captions, describe_changes, text_work
from .streams import text_names
from .texts import TextPlan, describe_size, extract_texts
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
class PartDone:
    """What a part leaves: of the plan's `chunks`, `own` are its own; `left` still have no shard.

    `others_failed` are videos of others' chunks that no shard has whole so far; their own parts may be at them.
    """

    part: Part
    chunks: int
    own: int
    left: int
    others_failed: int
    can_be_opened: bool
    """Not a single file, which a run without --part makes of the shards, nor a folder without any."""


@dataclass(frozen=True)
class Extraction:
    """What a run did, and what the store then holds.

    `frames` counts this run's videos; `kept` those that were in the store before; `failed` all whose frames it lacks,
    and `damaged` all that were read in part; after a part, those of its own chunks. `replaced` videos had changed and
    were read again; `lost` ones had changed, and cannot be read now. `features` is the store, where it can be opened.
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
    part: PartDone | None = None
    replaced: Sequence[str] = ()
    lost: Sequence[str] = ()
    features: FeatureStore | None = field(default=None, repr=False, compare=False)

    @property
    def exit_status(self) -> int:
        """0 when every video was read whole, else 3."""
        return 3 if self.failed or self.damaged else 0


def extract(config: ExtractConfig, progress: Progress | None = None, engine: Engine | None = None) -> Extraction:
    """Write or continue the store that `config` describes, or a part of it; returns what was done.

    `engine` says where frames are made; none is what the config says. Raises `CamoeError` before anything is written
    when an input cannot be used or the store was made with other settings or from other files, and `RunStoppedError`
    when the disk refuses, with finished shards intact.
    """
    there = store_of(config)
    _check_writable(config)
    inputs = read_inputs(config, there)
    binary = inspect_binary(find_ffmpeg(config.ffmpeg)) if config.videos is not None else None
    tagger = load_tagger(config.tagger)
    encoder = choose_encoder(config, there)
    layers = read_clip_layers(encoder, config.clip_layers)
    settings = make_settings(config, inputs, encoder, binary, tagger.name, there)
    part = config.chosen_part
    adding = config.into is not None
    progress = progress or Silent()
    with ExitStack() as stack:
        engine = engine or _engine(config, progress, stack)
        builder = stack.enter_context(
            StoreBuilder(config.store, settings, adding=adding, beside_others=part is not None)
        )
        stage = _Stage(config, inputs, encoder, settings, builder, progress, engine)
        found = stage.compare_captions()
        plan, pending = stage.plan()
        changed = stage.held_already(pending)
        sentences = stage.add_texts(tagger, found) if part is None or part.number == 1 else 0
        counts = stage.add_videos(plan, pending, binary)
        store = builder.finish() if part is None else builder.finish_part()
        if part is None or part.number == 1:
            save_clip_layers(config.store, layers, encoder)
    captions = inputs.captions
    captioned = set(captions.video_id) if captions is not None else set()
    failures = store.failures if store is not None else {}
    own = [failures[video_id] for video_id in failures if _is_own(video_id, plan, part)]
    failed = sum(failure.stage == FAILED for failure in own)
    lost = {name for name in changed if name in failures and failures[name].stage == FAILED}
    return Extraction(
        store=config.store,
        failures=builder.place.failures,
        frames=counts,
        kept=len(builder.inventory.videos),
        failed=failed,
        damaged=len(own) - failed,
        captions=len(captions.text) if captions is not None else 0,
        sentences=sentences,
        without_captions=sum(item.id not in captioned for item in inputs.items) if captioned else 0,
        skipped_captions=captions.skipped if captions is not None else {},
        changes=_changes(found, config, builder.store),
        part=_part_done(part, builder, plan, store, len(failures) - len(own)) if part is not None else None,
        replaced=[name for name in changed if name not in lost],
        lost=[name for name in changed if name in lost],
        features=store if part is None or not builder.place.is_single else None,
    )


def _engine(config: ExtractConfig, progress: Progress, stack: ExitStack) -> Engine:
    """The engine that is asked for, opened before anything is written, and left with the `stack`."""
    share = Share(0.0 if config.device == "cpu" else config.ray_gpus, config.workers)
    wanted = Wanted(config.ray_address, share, progress.note)
    return stack.enter_context(closing(open_engine(config.engine if config.videos is not None else LOCAL, wanted)))


def _part_done(
    part: Part, builder: StoreBuilder, plan: Plan, store: FeatureStore | None, others_failed: int
) -> PartDone:
    chunks = plan.chunks
    left = sum(not (builder.place.folder / shard_name(chunk)).exists() for chunk in chunks)
    can_be_opened = store is not None and not builder.place.is_single
    return PartDone(part, len(chunks), sum(map(part.has, chunks)), left, others_failed, can_be_opened)


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
    inputs: Inputs
    encoder: Encoder
    settings: StoreSettings
    builder: StoreBuilder
    progress: Progress
    engine: Engine

    def compare_captions(self) -> Reconciled | None:
        """The file's captions beside the store's; raises `CamoeError` where a store that only grows would change."""
        config = self.config
        return compare_captions(
            self.inputs.captions,
            self.builder.store,
            out=config.store,
            may_change=config.into is not None,
            tokens=config.tokens,
        )

    def plan(self) -> tuple[Plan, Sequence[VideoItem]]:
        """The plan, with the videos that are still to be read, which are all in it; of a part, those of its chunks.

        Raises `CamoeError` before anything is written where a video that the store has is another now.
        """
        config, builder = self.config, self.builder
        if config.videos is None:
            return Plan(), []
        before = Plan.read(builder.place)
        mine = own_items(self.inputs.items, before, config.chosen_part)
        pending = pending_items(
            mine, builder.inventory, retry_failed=config.retry_failed, replace_changed=config.replace_changed
        )
        self._forget_gone_failures()
        batch_size = choose_batch(config, builder.store, before, self.encoder)
        begun = Begun(self.settings.precisions[0], batch_size)
        plan = extend_plan(
            builder.place, builder.store, pending, config.videos, chunk_size=config.shard_size, begun=begun
        )
        if plan.begun is not None and plan.begun.precision != begun.precision:
            raise CamoeError(
                f"{config.store} was begun in {plan.begun.precision} by another run, and this one is in "
                f"{begun.precision}; use --precision {plan.begun.precision}, or --mix-precisions, which allows both"
            )
        return plan, own_items(pending, plan, config.chosen_part)

    def held_already(self, pending: Sequence[VideoItem]) -> list[str]:
        """Those of the `pending` videos that the store has frames of, by their ids: they have changed since."""
        ids = [item.id for item in pending]
        held = self.builder.inventory.videos.of(ids)
        return [video_id for video_id, source in zip(ids, held, strict=True) if source is not None]

    def _forget_gone_failures(self) -> None:
        """A retry forgets failures of files that are no longer in the folder."""
        part = self.config.chosen_part
        if not self.config.retry_failed or (part is not None and part.number > 1):
            return
        gone = sorted(self.builder.inventory.failed - {item.id for item in self.inputs.items})
        claim = self.builder.place.claim_changes() if gone else None
        if claim is not None:
            try:
                settings = self._frame_settings
                self.builder.publish(Shard(settings, videos=no_videos(settings), removed=Removed(videos=tuple(gone))))
            finally:
                claim.release()

    @property
    def _frame_settings(self) -> StoreSettings:
        return replace(self.settings, streams=None, strategies=None, tagger=None, captions_sha256=None)

    def add_texts(self, tagger: WordTagger, found: Reconciled | None) -> int:
        """Bring the store's captions to what the file says; returns how many sentences were encoded.

        One run does it at a time; beside others, one that is at it is left alone.
        """
        if found is None:
            return 0
        if self.config.chosen_part is None:
            return self._add_texts(tagger, found)
        claim = self.builder.place.claim_changes()
        if claim is None:
            return 0
        try:
            self.builder.look_again()
            found = self.compare_captions()
            assert found is not None
            return self._add_texts(tagger, found)
        finally:
            claim.release()

    def _add_texts(self, tagger: WordTagger, found: Reconciled) -> int:
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
        size = describe_size(work, self.encoder.embed_dim, self.encoder.tokens)
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

    def add_videos(self, plan: Plan, pending: Sequence[VideoItem], binary: Binary | None) -> FrameCounts:
        """Decode and encode the `pending` videos, by chunks of the plan."""
        config, builder = self.config, self.builder
        if not pending or binary is None or config.videos is None:
            return FrameCounts()
        batch_size = choose_batch(config, builder.store, plan, self.encoder)
        work = FrameWork(
            place=builder.place,
            settings=replace(self._frame_settings, batch_size=batch_size),
            root=config.videos,
            binary=binary,
            clip=config.clip or self.settings.clip_model,
            clip_cache=config.clip_cache,
            device=config.device,
            timeout_s=config.timeout,
            workers=config.worker_count,
            batch_size=batch_size,
        )
        chunks = make_chunks(plan, {item.id for item in pending}, builder.store)
        return self._run(work, chunks, len(pending))

    def _run(self, work: FrameWork, chunks: Sequence[Chunk], total: int) -> FrameCounts:
        self.builder.expect_shards()
        counts = FrameCounts()
        with self.progress.videos(total) as on_video, closing(self.engine.run(self._maker(work), chunks)) as events:
            for news in events:
                counts += news
                on_video(counts)
        if counts.videos < total:
            raise RunStoppedError(
                f"--engine {self.config.engine} ended with {counts.videos} of {counted(total, 'video')} done; "
                "the same command goes on"
            )
        return counts

    def _maker(self, work: FrameWork) -> Callable[[], FrameWorker]:
        """What makes a worker where the engine has them."""
        if self.engine.in_process:
            return partial(work.worker, self.encoder)
        patience_s = PATIENCE_S if self.config.chosen_part is None else 0.0
        weights = replace(self.encoder.weights, path=self.encoder.weights.path.absolute())
        send = self.engine.send(weights.path)
        return FrameWorkElsewhere(replace(work, patience_s=patience_s), weights, send, self.config.workers).absolute()


def _check_writable(config: ExtractConfig) -> None:
    place = Place.of(config.store)
    remedy = "give another --out"
    if config.into is not None:
        remedy = "make it writable, or copy the store to another folder and add to the copy"
    check_writable(config.store, inside=not place.is_single and place.out.is_dir(), remedy=remedy)


def own_items(items: Sequence[VideoItem], plan: Plan, part: Part | None) -> Sequence[VideoItem]:
    """The items of a part's chunks, and those that are in no chunk yet."""
    return items if part is None else [item for item in items if _is_own(item.id, plan, part)]


def _is_own(video_id: str, plan: Plan, part: Part | None) -> bool:
    return part is None or video_id not in plan.videos or part.has(plan.videos[video_id].chunk)


def preview_captions(config: ExtractConfig, count: int) -> list[Preview]:
    """What each strategy makes of `count` captions, spread over the file; nothing is encoded or written."""
    inputs = read_inputs(config, None)
    if inputs.captions is None:
        raise CamoeError("--preview shows captions; give --captions FILE")
    tokens, tagger = tokens_of(config.clip or DEFAULT_CLIP, config.clip_cache), load_tagger(config.tagger)
    return preview(inputs.captions.text, config.strategies, inputs.streams, tagger, count, tokens)


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
