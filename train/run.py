"""One run: `fit(config)` turns a feature store into a run folder."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from ..pipeline.errors import RunStoppedError
from ..pipeline.store import FeatureStore
from ..pipeline.writable import check_writable
from .checkpoint import Checkpoint, identity_of, load_checkpoint, refuse_other
from .config import TrainConfig
from .course import Outcome
from .data import Features, hold_out_videos, load_features, resolve_device, resolve_protocol
from .describe import cost_record, features_record, outcome_record, store_record
from .report import Reports, reporting
from .reporters import Reporter, open_reporters
from .residence import choose_residence
from .run_folder import RECORD, load_run, new_run_folder, partial_folder, refuse_existing, tidy, write_run
from .scorer import Scorer
from .start import begin_model, start_layers, start_name
from .trainer import Saver, train

SMALL_BATCH = 1 << 18
"""Numbers in a batch's frames below which one CPU thread is enough."""


def fit(
    config: TrainConfig,
    *,
    resume: bool = False,
    reporters: Sequence[Reporter] = (),
    say: Callable[[str], object] = lambda line: None,
) -> Path:
    """Train as configured and return the run folder, which is written whole at the end or not at all.

    The epoch with the best mean of text-to-video and video-to-text R@1 on `val` is kept; epoch 0 is the untrained
    model. On a CPU the same config gives the same bits. With `resume` a run that was killed goes on from its last
    checkpoint, to the same bits; one that is finished is left as it is, one that never began is begun. `reporters` are
    told of every epoch beside those that the config names; their errors end no run. `say` is told where `resident` auto
    puts the features, and why. Raises `CamoeError` for a store, protocol, stream, folder or begun run that does not
    fit, `RunStoppedError` when the loss is no longer a number, explodes, or memory runs out.
    """
    started = time.perf_counter()
    device = resolve_device(config.device)
    if resume and (config.folder / RECORD).is_file() and not partial_folder(config.folder).exists():
        return _finished(config, device)
    refuse_existing(config.folder, overwrite=config.overwrite, resume=resume)
    check_writable(config.folder)
    reporters = [*open_reporters(config.reporters, partial_folder(config.folder), config.folder.name), *reporters]
    store = FeatureStore.open(config.features)
    protocol = resolve_protocol(store, config.protocol)
    recipe, trains = config.recipe, config.facts.trains
    held_out = hold_out_videos(store, protocol, config.validation_fraction, config.seed) if trains else []
    chosen = choose_residence(
        store, config.resident, config.strategies.items(), words=config.facts.words, device=device
    )
    if chosen.told:
        say(chosen.told)
    features = load_features(
        store,
        config.strategies,
        raw=config.facts.raw,
        words=config.facts.words,
        shuffle_seed=config.shuffle_seed,
        protocol=protocol,
        device=device,
        subsets=("train", "val") if trains else ("val",),
        held_out=held_out,
        allow_missing=config.allow_missing,
        resident=chosen.name,
    )
    layers = start_layers(config.model, config.features, store.settings.clip_sha256)
    model, start = begin_model(recipe, features.shape, layers).to(device), start_name(config.model, layers)
    source = store_record(store, protocol, config.strategies) | {
        "start": start,
        "features": [os.path.abspath(path) for path in config.features],
        "held_out_videos": held_out,
        "load_seconds": round(time.perf_counter() - started, 3),
    }
    identity = identity_of(config, store.content_hash, str(device), start)
    with new_run_folder(config.folder, overwrite=config.overwrite, resume=resume) as folder:
        begun = _checkpoint(folder, identity) if resume else None
        saver = Saver(folder, identity, config.checkpoint_seconds)
        with (
            reporting(folder, reporters, _told(config, store, protocol), config.tags, begun) as reports,
            cpu_threads(features, batch_size=config.batch_size, threads=config.threads) as threads,
        ):
            outcome = _train(model, features, config, reports, saver, begun)
            came_to = outcome_record(outcome, model)
            reports.results = came_to
        record = source | {"resident": chosen.name} | features_record(features) | came_to | cost_record(device, threads)
        write_run(folder, config, record, outcome.state)
    return config.folder


def _finished(config: TrainConfig, device: torch.device) -> Path:
    """The finished run folder, if it is of the run that is asked for."""
    run = load_run(config.folder)
    store = FeatureStore.open(config.features)
    start = start_name(config.model, start_layers(config.model, config.features, store.settings.clip_sha256))
    begun = identity_of(run.config, run.record["store"]["content_hash"], run.record["device"], run.record["start"])
    refuse_other(config.folder, begun, identity_of(config, store.content_hash, str(device), start))
    tidy(config.folder)
    return config.folder


def _checkpoint(folder: Path, identity: dict[str, Any]) -> Checkpoint | None:
    """Where an unfinished run goes on; raises `CamoeError` where it is another one than what is asked for."""
    begun = load_checkpoint(folder)
    if begun is not None:
        refuse_other(folder, begun.identity, identity)
    return begun


def _told(config: TrainConfig, store: FeatureStore, protocol: str) -> dict[str, Any]:
    """The settings as loggers keep them, with the store's hash."""
    values: dict[str, Any] = json.loads(json.dumps(asdict(config), default=os.fspath))
    return values | {"protocol": protocol, "store": store.content_hash, "clip_model": store.settings.clip_model}


def _train(
    model: Scorer, features: Features, config: TrainConfig, reports: Reports, saver: Saver, begun: Checkpoint | None
) -> Outcome:
    try:
        return train(model, features, config.recipe, reports.report, saver, begun)
    except torch.OutOfMemoryError:
        remedy = "raise --accumulate, lower --batch-size, or use --device cpu"
        raise RunStoppedError(f"out of GPU memory; {remedy}") from None


@contextmanager
def cpu_threads(features: Features, *, batch_size: int, threads: int | None) -> Iterator[int]:
    """Use so many threads for a while; none: one where a batch is too small to share, else what torch takes.

    Threads that wait for each other on small work, with other processes about, slow it down many times.
    """
    before = torch.get_num_threads()
    small = batch_size * math.prod(features.frames.shape[1:]) < SMALL_BATCH
    chosen = threads or (1 if small else before)
    torch.set_num_threads(chosen)
    try:
        yield chosen
    finally:
        torch.set_num_threads(before)
