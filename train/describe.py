"""What `run.json` tells: the features behind a run, what training came to, what it took."""

from __future__ import annotations

import platform
import resource
import sys
from collections.abc import Mapping
from typing import Any

import numpy
import torch

from .. import __version__
from ..pipeline.store import FeatureStore
from ..pipeline.text_names import FULL
from .course import Outcome
from .data import Features
from .scorer import Scorer


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
        "shape": features.shape.to_json(),
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
        "versions": {
            "camoe": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": numpy.__version__,
        },
    }


def cost_record(device: torch.device, threads: int) -> dict[str, Any]:
    """The most memory that the process has held, in MB, and the GPU's share of it."""
    unit = 1 if sys.platform == "darwin" else 1024
    memory = {"host": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6)}
    if device.type == "cuda":
        memory["gpu"] = round(torch.cuda.max_memory_allocated(device) / 1e6)
    return {"peak_memory_mb": memory, "threads": threads}
