"""The store's features on one device, loaded once, and the views of them that each cell trains and is scored on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from ...pipeline.errors import RunStoppedError
from ...pipeline.store import SUBSETS, FeatureStore
from ...train.config import FUSION, TrainConfig
from ...train.data import (
    Features,
    StreamTexts,
    hold_out_videos,
    load_features,
    load_texts,
    resolve_protocol,
    shuffle_frames,
)
from ...train.model import Scorer
from ...train.names import MODELS
from ...train.scoring import RunScorer
from .settings import FULL


class Resident:
    """Frames and each stream's sentences, kept between cells; `features(config)` copies nothing that two cells share.

    Raises `RunStoppedError` where the store is no longer what `content_hash` says, `CamoeError` as `load_features`.
    """

    def __init__(
        self,
        features: Sequence[str],
        *,
        protocol: str | None,
        allow_missing: bool,
        device: torch.device,
        content_hash: str | None = None,
    ) -> None:
        self.store = FeatureStore.open(features)
        if content_hash not in (None, self.store.content_hash):
            raise RunStoppedError(f"the store {', '.join(features)} has changed while the sweep ran; start it anew")
        self.protocol = resolve_protocol(self.store, protocol)
        self.allow_missing, self.device = allow_missing, device
        self.paths = tuple(features)
        self._base: dict[bool, Features] = {}
        self._texts: dict[tuple[bool, str, str], StreamTexts] = {}
        self._held_out: dict[tuple[float, int], list[str]] = {}
        self._shuffled: tuple[tuple[bool, int], torch.Tensor] | None = None

    def held_out(self, config: TrainConfig) -> list[str]:
        """Training videos that serve as `val`, as `fit` holds them out."""
        if config.model == "zero-shot":
            return []
        key = (config.validation_fraction, config.seed)
        if key not in self._held_out:
            self._held_out[key] = hold_out_videos(self.store, self.protocol, *key)
        return self._held_out[key]

    def features(self, config: TrainConfig) -> Features:
        """What `fit` would load for the config; its captions of `test` are there too."""
        raw = config.facts.raw
        base = self._base.get(raw) or self._load(raw)
        subset = base.subset
        if held_out := self.held_out(config):
            place = {video_id: row for row, video_id in enumerate(base.video_ids)}
            rows = torch.tensor([place[video_id] for video_id in held_out], device=self.device)
            moved = torch.isin(base.video_of_caption, rows) & (subset == SUBSETS["train"])
            subset = subset.masked_fill(moved, SUBSETS["val"])
        return replace(
            base,
            frames=self._shuffle(base, raw, config.seed) if config.shuffle_frames else base.frames,
            texts=[self._stream(raw, stream, strategy) for stream, strategy in config.strategies.items()],
            subset=subset,
        )

    def scorer(self, model: Scorer, features: Features) -> RunScorer:
        """The model and the features of a cell, as an evaluation takes them."""
        return ResidentScorer(model, features, self.store)

    def _load(self, raw: bool) -> Features:
        model = next(name for name, facts in MODELS.items() if facts.raw == raw)
        config = TrainConfig(features=self.paths, streams=(FUSION,), model=model)
        base = self._base[raw] = load_features(
            self.store,
            config,
            protocol=self.protocol,
            device=self.device,
            subsets=tuple(SUBSETS),
            allow_missing=self.allow_missing,
        )
        self._texts[raw, FUSION, FULL] = base.texts[0]
        return base

    def _stream(self, raw: bool, stream: str, strategy: str) -> StreamTexts:
        key = (raw, FUSION if strategy == FULL else stream, strategy)
        if key not in self._texts:
            self._texts[key] = load_texts(self.store, strategy, stream, self.device, raw=raw)
        return self._texts[key]

    def _shuffle(self, base: Features, raw: bool, seed: int) -> torch.Tensor:
        """The last seed's frames are kept."""
        if self._shuffled is None or self._shuffled[0] != (raw, seed):
            self._shuffled = ((raw, seed), shuffle_frames(base.frames, base.mask, seed))
        return self._shuffled[1]


class ResidentScorer(RunScorer):
    """A `RunScorer` of a model and features that are loaded already."""

    def __init__(self, model: Scorer, features: Features, store: FeatureStore) -> None:
        self.model, self.features, self.protocol = model.eval(), features, features.protocol
        self.shortfall = store.shortfall.get(self.protocol, {})
        self.missing_captions = features.missing["test"]
        self._caption_video_ids = store.caption_video_ids
