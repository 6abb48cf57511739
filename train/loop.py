"""Training: `fit(config)` turns a feature store into a run folder."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy
import torch

from ..pipeline.errors import RunStoppedError
from ..pipeline.store import FeatureStore
from .config import TrainConfig
from .data import Features, hold_out_videos, load_features, resolve_device, resolve_protocol
from .model import Scorer, build_model
from .report import Report, reporter
from .run_folder import new_run_folder, refuse_existing, write_run
from .trainer import Outcome, train

SMALL_BATCH = 1 << 18
"""Numbers in a batch's frames below which one CPU thread is enough."""


def fit(config: TrainConfig) -> Path:
    """Train as configured and return the run folder, which is written whole at the end or not at all.

    The epoch with the best mean of text-to-video and video-to-text R@1 on `val` is kept; epoch 0 is the untrained
    model. On a CPU the same config gives the same bits. Raises `CamoeError` for a store, protocol, stream or folder
    that does not fit, `RunStoppedError` when the loss is no longer a number or memory runs out.
    """
    started = time.perf_counter()
    refuse_existing(config.folder, overwrite=config.overwrite)
    device = resolve_device(config.device)
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
    model = build_model(config, features.shape).to(device)
    source = store_record(store, protocol) | {
        "features": [os.path.abspath(path) for path in config.features],
        "held_out_videos": held_out,
        "load_seconds": round(time.perf_counter() - started, 3),
    }
    with new_run_folder(config.folder, overwrite=config.overwrite) as folder:
        with cpu_threads(config, features), reporter(folder, tensorboard=config.tensorboard) as report:
            outcome = _train_in_memory(model, features, config, report)
        record = source | features_record(features) | outcome_record(outcome, model)
        write_run(folder, config, record, outcome.state)
    return config.folder


def store_record(store: FeatureStore, protocol: str) -> dict[str, Any]:
    """What identifies the features behind a result."""
    return {
        "store": {
            "content_hash": store.content_hash,
            "clip_model": store.settings.clip_model,
            "clip_sha256": store.settings.clip_sha256,
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


def _train_in_memory(model: Scorer, features: Features, config: TrainConfig, report: Report) -> Outcome:
    try:
        return train(model, features, config, report)
    except torch.OutOfMemoryError:
        raise RunStoppedError("out of GPU memory; lower --batch-size, or use --device cpu") from None


@contextmanager
def cpu_threads(config: TrainConfig, features: Features) -> Iterator[None]:
    """The configured number of threads, for a while; by itself one where a batch is too small to share.

    Threads that wait for each other on small work, with other processes about, slow it down many times.
    """
    before = torch.get_num_threads()
    small = config.batch_size * features.frames[0].numel() < SMALL_BATCH
    torch.set_num_threads(config.threads or (1 if small else before))
    try:
        yield
    finally:
        torch.set_num_threads(before)
