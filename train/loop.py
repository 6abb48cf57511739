"""Training: `fit(config)` turns a feature store into a run folder."""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy
import torch

from ..pipeline.clip_layers import find_layers
from ..pipeline.errors import RunStoppedError
from ..pipeline.sealed import Tensors
from ..pipeline.store import FeatureStore, StoreSettings
from ..pipeline.store.schema import FULL
from .checkpoint import identity_of, load_checkpoint, refuse_other
from .config import TrainConfig
from .data import Features, hold_out_videos, load_features, resolve_device, resolve_protocol
from .model import FeatureShape, Scorer, build_model
from .report import reporter
from .run_folder import RECORD, load_run, new_run_folder, partial_folder, refuse_existing, tidy, write_run
from .trainer import Outcome, Saver, train

SMALL_BATCH = 1 << 18
"""Numbers in a batch's frames below which one CPU thread is enough."""


def fit(config: TrainConfig, *, resume: bool = False) -> Path:
    """Train as configured and return the run folder, which is written whole at the end or not at all.

    The epoch with the best mean of text-to-video and video-to-text R@1 on `val` is kept; epoch 0 is the untrained
    model. On a CPU the same config gives the same bits. With `resume` a run that was killed goes on from its last
    checkpoint, to the same bits; one that is finished is left as it is, one that never began is begun. Raises
    `CamoeError` for a store, protocol, stream, folder or begun run that does not fit, `RunStoppedError` when the loss
    is no longer a number, explodes, or memory runs out.
    """
    started = time.perf_counter()
    device = resolve_device(config.device)
    if resume and (config.folder / RECORD).is_file() and not partial_folder(config.folder).exists():
        return _finished(config, device)
    refuse_existing(config.folder, overwrite=config.overwrite, resume=resume)
    store = FeatureStore.open(config.features)
    protocol = resolve_protocol(store, config.protocol)
    trains = config.model != "zero-shot"
    held_out = hold_out_videos(store, protocol, config.validation_fraction, config.seed) if trains else []
    features = load_features(
        store,
        config,
        protocol=protocol,
        device=device,
        subsets=("train", "val") if trains else ("val",),
        held_out=held_out,
        allow_missing=config.allow_missing,
    )
    model, start = begin_model(config, features.shape, store.settings)
    model.to(device)
    source = store_record(store, protocol, config.strategies) | {
        "start": start,
        "features": [os.path.abspath(path) for path in config.features],
        "held_out_videos": held_out,
        "load_seconds": round(time.perf_counter() - started, 3),
    }
    identity = identity_of(config, store.content_hash, str(device), start)
    with new_run_folder(config.folder, overwrite=config.overwrite, resume=resume) as folder:
        with cpu_threads(config, features) as threads:
            outcome = _train_in(folder, model, features, config, identity, resume=resume)
        record = source | features_record(features) | outcome_record(outcome, model) | cost_record(device, threads)
        write_run(folder, config, record, outcome.state)
    return config.folder


def _finished(config: TrainConfig, device: torch.device) -> Path:
    """The finished run folder, if it is of the run that is asked for."""
    run = load_run(config.folder)
    store = FeatureStore.open(config.features)
    began, start = run.record["start"], start_of(config, store.settings)
    begun = identity_of(run.config, run.record["store"]["content_hash"], run.record["device"], began)
    refuse_other(config.folder, begun, identity_of(config, store.content_hash, str(device), start))
    tidy(config.folder)
    return config.folder


def begin_model(config: TrainConfig, shape: FeatureShape, settings: StoreSettings) -> tuple[Scorer, str | None]:
    """The model as training begins, on the CPU, and for models that can start from CLIP's text layers where it does:
    `clip` with them, `random` where none lie beside the store."""
    model = build_model(config, shape)
    layers = _clip_layers(config, settings)
    if layers is not None:
        model.start_from_clip(layers)
    return model, start_of(config, settings)


def start_of(config: TrainConfig, settings: StoreSettings) -> str | None:
    """What `begin_model` does for a model of this config: `clip`, `random`, or none where there is no choice."""
    if not config.facts.starts_from_clip:
        return None
    return "random" if _clip_layers(config, settings) is None else "clip"


def _clip_layers(config: TrainConfig, settings: StoreSettings) -> Tensors | None:
    if not config.facts.starts_from_clip:
        return None
    return find_layers(config.features, clip_sha256=settings.clip_sha256)


def _train_in(
    folder: Path, model: Scorer, features: Features, config: TrainConfig, identity: dict[str, Any], *, resume: bool
) -> Outcome:
    begun = load_checkpoint(folder) if resume else None
    if begun is not None:
        refuse_other(folder, begun.identity, identity)
    epoch = None if begun is None else begun.facts["epochs"]
    saver = Saver(folder, identity, config.checkpoint_seconds)
    with reporter(folder, tensorboard=config.tensorboard, begun=epoch) as report:
        try:
            return train(model, features, config, report, saver, begun)
        except torch.OutOfMemoryError:
            remedy = "raise --accumulate, lower --batch-size, or use --device cpu"
            raise RunStoppedError(f"out of GPU memory; {remedy}") from None


def store_record(store: FeatureStore, protocol: str, strategies: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What identifies the features behind a result, and how they were made; of the streams, those that are used."""
    settings = store.settings
    tagged = [stream for stream, strategy in (strategies or {}).items() if strategy != FULL]
    definitions = settings.streams or {}
    return {
        "store": {
            "content_hash": store.content_hash,
            "clip_model": settings.clip_model,
            "clip_sha256": settings.clip_sha256,
            "precision": settings.precision,
            "streams": {stream: definitions[stream] for stream in tagged if stream in definitions},
            "tagger": settings.tagger if tagged else None,
            "fps": settings.fps,
            "sampling": settings.sampling,
            "max_frames": settings.max_frames,
        },
        "protocol": protocol,
        "shortfall": store.shortfall.get(protocol, {}),
    }


def features_record(features: Features) -> dict[str, Any]:
    """Sizes; `shape` is what the model is rebuilt from."""
    counts = {
        subset: {"captions": len(features.captions_of(subset)), "videos": len(features.videos_of(subset))}
        for subset in ("train", "val")
    }
    missing = sum(features.missing[subset] for subset in counts)
    return {
        "shape": features.shape.to_dict(),
        "counts": counts,
        "missing_captions": missing,
        "device": str(features.device),
    }


def outcome_record(outcome: Outcome, model: Scorer) -> dict[str, Any]:
    """What training came to, and what it took."""
    speed = round(outcome.examples / outcome.seconds, 1) if outcome.examples else None
    return {
        "selection": outcome.best,
        "epochs": outcome.epochs,
        "parameters": sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad),
        "train_seconds": round(outcome.seconds, 3),
        "examples_per_second": speed,
        "versions": {"torch": torch.__version__, "numpy": numpy.__version__},
    }


def cost_record(device: torch.device, threads: int) -> dict[str, Any]:
    """The most memory that the process has held, in MB, and the GPU's share of it."""
    unit = 1 if sys.platform == "darwin" else 1024
    memory = {"host": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6)}
    if device.type == "cuda":
        memory["gpu"] = round(torch.cuda.max_memory_allocated(device) / 1e6)
    return {"peak_memory_mb": memory, "threads": threads}


@contextmanager
def cpu_threads(config: TrainConfig, features: Features) -> Iterator[int]:
    """Use the configured number of threads for a while, by itself one where a batch is too small to share.

    Threads that wait for each other on small work, with other processes about, slow it down many times.
    """
    before = torch.get_num_threads()
    small = config.batch_size * features.frames[0].numel() < SMALL_BATCH
    threads = config.threads or (1 if small else before)
    torch.set_num_threads(threads)
    try:
        yield threads
    finally:
        torch.set_num_threads(before)
