"""What is evaluated: a run with the features of a store, loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..pipeline.store import FeatureStore
from ..train.run_folder import Run
from ..train.scoring import RunScorer
from .config import EvaluateConfig
from .result import store_name


@dataclass(frozen=True)
class Subject:
    """A run, the store that it is evaluated on, and the store's short name."""

    run: Run
    store: FeatureStore
    store_name: str
    scorer: RunScorer

    def ids(self, subset: str) -> tuple[list[str], list[str]]:
        """The subset's caption ids and video ids, in the order of its ranks."""
        features = self.scorer.features
        captions, videos = features.captions_of(subset).tolist(), features.videos_of(subset).tolist()
        return [features.caption_ids[row] for row in captions], [features.video_ids[row] for row in videos]

    def identity(self) -> dict[str, Any]:
        """What two results must share to be compared."""
        return {
            "store": self.store.content_hash,
            "protocol": self.scorer.protocol,
            "shortfall": self.scorer.shortfall,
            "missing captions": self.scorer.missing_captions,
        }

    def describe_store(self) -> dict[str, Any]:
        """The store's name and hash, its CLIP, and the hash of the store that the run was trained on."""
        return {
            "name": self.store_name,
            "content_hash": self.store.content_hash,
            "trained_on": self.run.record["store"]["content_hash"],
            "clip_model": self.store.settings.clip_model,
            "clip_sha256": self.store.settings.clip_sha256,
        }

    def describe_training(self) -> dict[str, Any]:
        """The settings of the run that the table names; a loss only where one was trained with."""
        config = self.run.config
        trained = config.model != "zero-shot"
        return {
            "model": self.run.title,
            "loss": config.loss if trained else None,
            "loss_temperature": config.loss_temperature if trained and config.loss == "dsl" else None,
            "streams": config.strategies,
            "shuffle_frames": config.shuffle_frames,
            "seed": config.seed,
            "selection": self.run.record["selection"],
        }


def open_subject(config: EvaluateConfig, run: Run) -> Subject:
    """A run with the config's features, or those that the run was trained on.

    Raises `CamoeError` for what is no store, and where run and store do not fit each other.
    """
    features = config.features or run.features
    store = FeatureStore.open(features)
    scorer = RunScorer(
        run,
        store,
        protocol=config.protocol,
        subset=config.subset,
        allow_missing=config.allow_missing,
        device=config.device,
    )
    return Subject(run, store, store_name(features), scorer)
