"""A cell's settings: those of a training run, and how its scores are re-ranked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from ...pipeline.config import setting
from ...pipeline.errors import CamoeError
from ...pipeline.store import FeatureStore
from ...train.config import FUSION, TrainConfig
from ..names import RERANKINGS

FULL = "full"
BY_THE_SWEEP = {
    "features": "give the store as --features",
    "protocol": "give it as --protocol",
    "allow_missing": "give it as --allow-missing",
    "seed": "list the seeds beside the grid, as seeds: [0, 1]",
    "out": "give the folder as --out",
    "device": "give it as --device",
    "resident": "give it as --resident",
    "threads": "a CPU runs one cell a core, see --workers",
    "overwrite": "cells write no run folders",
    "log": "cells write no run folders",
    "tensorboard": "cells write no run folders",
    "tags": "give them as --tag",
    "checkpoint_seconds": "cells write no run folders",
}
"""Settings of a training run that a grid cannot hold, and what to do instead."""
UNTRAINED_READS = ("model", "streams", "strategy", "stream_weights", "padding", "emcl", "shuffle_frames")


@dataclass(frozen=True, kw_only=True)
class CellConfig(TrainConfig):
    """What a grid sets; raises `CamoeError` for values that do not fit or do not go together."""

    rerank: str = setting("none", help="Re-ranking of the cell's scores.", choices=RERANKINGS)
    rerank_temperature: float = setting(
        1.0, help="Temperature of dsl, dsl-log, sinkhorn and bank-sinkhorn, in logit units."
    )

    def check(self) -> None:
        super().check()
        if not self.rerank_temperature > 0:
            raise CamoeError(f"rerank_temperature must be a positive number, not {self.rerank_temperature}")

    @property
    def training(self) -> TrainConfig:
        """The training run alone."""
        return TrainConfig(**{item.name: getattr(self, item.name) for item in fields(TrainConfig)})

    @property
    def reranking(self) -> tuple[str, float | None]:
        """The re-ranking's name, and its temperature where it has one."""
        return self.rerank, self.rerank_temperature if has_temperature(self.rerank) else None


NAMES = tuple(item.name for item in fields(CellConfig) if item.name not in BY_THE_SWEEP)
"""What a grid can set."""


def has_temperature(rerank: str) -> bool:
    """Whether a re-ranking reads `rerank_temperature`."""
    return "temperature" in RERANKINGS[rerank].options


def idle(config: TrainConfig) -> set[str]:
    """Names of the settings that change nothing in this cell: cells that differ only in them are one."""
    names = set(config.facts.ignores)
    if not config.facts.own_loss:
        names |= {"own_loss"}
    if not config.emcl:
        names |= {"emcl"}
    if config.loss == "ce":
        names |= {"loss_temperature", "stop_gradient_prior"}
    if config.streams == (FUSION,):
        names |= {"strategy", "stream_weights"}
    if config.model == "camoe" and "attention" not in config.aggregators:
        names |= {"attention_layers"}
    if config.patience is not None and config.patience >= config.epochs:
        names |= {"patience"}
    if not config.facts.trains:
        seed = () if config.shuffle_frames or config.emcl else ("seed",)
        trains = {item.name for item in fields(TrainConfig)} - set(BY_THE_SWEEP) - set(UNTRAINED_READS)
        names |= trains | set(seed)
    if isinstance(config, CellConfig) and not has_temperature(config.rerank):
        names |= {"rerank_temperature"}
    return names


def identity(config: TrainConfig) -> dict[str, Any]:
    """What a training run's numbers depend on besides the store, as JSON values."""
    values: dict[str, Any] = {item.name: getattr(config, item.name) for item in fields(TrainConfig)}
    values |= {"strategy": list(config.strategies.values()), "stream_weights": config.weights}
    values |= {"experts": config.expert_count, "aggregator": config.aggregators}
    unread = idle(config) | (set(BY_THE_SWEEP) - {"seed"})
    plain: dict[str, Any] = json.loads(json.dumps({key: value for key, value in values.items() if key not in unread}))
    return plain


def key_of(config: TrainConfig, rerankings: Sequence[tuple[str, float | None]], **source: Any) -> str:
    """16 hexadecimal digits naming a training run on a store: the same settings give the same key in any grid."""
    whole = {"settings": identity(config), "rerankings": sorted(map(list, rerankings), key=str), **source}
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()[:16]


WORD_TOKENS = "word tokens"


def missing_texts(config: TrainConfig, store: FeatureStore) -> list[str]:
    """What the store lacks for this cell: `strategy/stream` of sentences, and `word tokens`."""
    wanted = [
        (FULL, FUSION) if FUSION == stream or strategy == FULL else (strategy, stream)
        for stream, strategy in config.strategies.items()
    ]
    missing = ["/".join(name) for name in dict.fromkeys(wanted) if name not in store.text_names]
    return missing + ([WORD_TOKENS] if config.facts.words and not store.has_word_tokens else [])
