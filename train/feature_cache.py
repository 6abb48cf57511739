"""The store's features on one device, loaded once, and the views of them that many runs train and are scored on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from ..pipeline.errors import RunStoppedError
from ..pipeline.sealed import Tensors
from ..pipeline.store import SUBSETS, FeatureStore
from ..pipeline.text_names import FULL, FUSION
from .data import (
    Features,
    StreamTexts,
    hold_out_videos,
    load_features,
    load_texts,
    resolve_protocol,
    shuffled,
)
from .kept import Kept, KeptFrames
from .names import DEVICE
from .recipe import FeatureSettings, Recipe
from .scorer import Scorer
from .scoring import ModelScorer
from .start import begin_model, start_layers, start_name
from .words import WordTokens, load_words


class FeatureCache:
    """Frames and each stream's sentences, kept between runs; `features(settings)` copies nothing that two runs share.

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
        resident: str = DEVICE,
    ) -> None:
        self.store = FeatureStore.open(features)
        if content_hash not in (None, self.store.content_hash):
            raise RunStoppedError(f"the store {', '.join(features)} has changed while the sweep ran; start it anew")
        self.protocol = resolve_protocol(self.store, protocol)
        self.allow_missing, self.device, self.resident = allow_missing, device, resident
        self.paths = tuple(features)
        self._base: dict[bool, Features] = {}
        self._words: WordTokens | None = None
        self._texts: dict[tuple[bool, str, str], StreamTexts] = {}
        self._held_out: dict[tuple[float, int], list[str]] = {}
        self._shuffled: tuple[tuple[bool, int], torch.Tensor | KeptFrames] | None = None

    def held_out(self, settings: FeatureSettings) -> list[str]:
        """Training videos that serve as `val`, as `fit` holds them out."""
        if settings.validation_fraction is None:
            return []
        key = (settings.validation_fraction, settings.seed)
        if key not in self._held_out:
            self._held_out[key] = hold_out_videos(self.store, self.protocol, *key)
        return self._held_out[key]

    def features(self, settings: FeatureSettings) -> Features:
        """What `fit` would load; its captions of `test` are there too."""
        raw = settings.raw
        base = self._base.get(raw) or self._load(raw)
        subset = base.subset
        if held_out := self.held_out(settings):
            place = {video_id: row for row, video_id in enumerate(base.video_ids)}
            rows = torch.tensor([place[video_id] for video_id in held_out], device=self.device)
            moved = torch.isin(base.video_of_caption, rows) & (subset == SUBSETS["train"])
            subset = subset.masked_fill(moved, SUBSETS["val"])
        words = self._word_tokens(raw) if settings.words else None
        return replace(
            base,
            words=words,
            shape=base.shape if words is None else replace(base.shape, max_words=words.longest),
            frames=base.frames if settings.shuffle_seed is None else self._shuffle(base, raw, settings.shuffle_seed),
            texts=[self._stream(raw, stream, strategy) for stream, strategy in settings.strategies.items()],
            subset=subset,
        )

    def begin_model(self, recipe: Recipe) -> Scorer:
        """The model of a run as `fit` begins it, on the device."""
        layers = self._layers(recipe.architecture.model)
        return begin_model(recipe, self.features(recipe.features).shape, layers).to(self.device)

    def start(self, model: str) -> str | None:
        """Where a model of that name begins, as `run.json` tells it."""
        return start_name(model, self._layers(model))

    def _layers(self, model: str) -> Tensors | None:
        return start_layers(model, self.paths, self.store.settings.clip_sha256)

    def scorer(self, model: Scorer, features: Features) -> ModelScorer:
        """The model and the features of a run, as an evaluation takes them."""
        return ModelScorer(model, features, self.store)

    def _load(self, raw: bool) -> Features:
        if (other := self._base.get(not raw)) is not None and isinstance(other.frames, KeptFrames):
            self._base[raw] = replace(other, frames=replace(other.frames, raw=raw))
            return self._base[raw]
        base = self._base[raw] = load_features(
            self.store,
            {FUSION: FULL},
            raw=raw,
            protocol=self.protocol,
            device=self.device,
            subsets=tuple(SUBSETS),
            allow_missing=self.allow_missing,
            resident=self.resident,
        )
        self._texts[raw, FUSION, FULL] = base.texts[0]
        return base

    def _stream(self, raw: bool, stream: str, strategy: str) -> StreamTexts:
        key = (raw, FUSION if strategy == FULL else stream, strategy)
        other = self._texts.get((not raw, *key[1:]))
        if key not in self._texts and other is not None and isinstance(other.embedding, Kept):
            self._texts[key] = replace(other, embedding=replace(other.embedding, raw=raw))
        if key not in self._texts:
            self._texts[key] = load_texts(self.store, strategy, stream, self.device, raw=raw, resident=self.resident)
        return self._texts[key]

    def _word_tokens(self, raw: bool) -> WordTokens:
        """Loaded once: raw or normalised is settled where a batch is taken from them."""
        if self._words is None:
            self._words = load_words(self.store, self.device, resident=self.resident)
        return replace(self._words, raw=raw)

    def _shuffle(self, base: Features, raw: bool, seed: int) -> torch.Tensor | KeptFrames:
        """The last seed's frames are kept."""
        if self._shuffled is None or self._shuffled[0] != (raw, seed):
            self._shuffled = ((raw, seed), shuffled(base.frames, base.mask, seed))
        return self._shuffled[1]
