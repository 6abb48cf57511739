"""What is evaluated: a run with the features of a store, loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..pipeline.store import FeatureStore
from ..train.run_folder import Run
from ..train.scoring import RunScorer, made_otherwise
from .result import StoreFacts, TrainingFacts, store_name


@dataclass(frozen=True)
class Subject:
    """A run, the store that it is evaluated on, and the store's short name."""

    run: Run
    store: FeatureStore
    store_name: str
    scorer: RunScorer

    def identity(self) -> dict[str, Any]:
        """What two results must share to be compared."""
        return {
            "store": self.store.content_hash,
            "protocol": self.scorer.protocol,
            "shortfall": self.scorer.shortfall,
            "missing captions": self.scorer.missing_captions,
        }

    def describe_store(self) -> StoreFacts:
        """The store, the one that the run was trained on, and how they differ where both are known."""
        settings = self.store.settings
        return StoreFacts(
            name=self.store_name,
            content_hash=self.store.content_hash,
            trained_on=self.run.record["store"]["content_hash"],
            clip_model=settings.clip_model,
            clip_sha256=settings.clip_sha256,
            made_otherwise=made_otherwise(self.run, self.store),
        )

    def describe_training(self) -> TrainingFacts:
        """The settings of the run that the table names; a loss only where one was trained with."""
        config = self.run.config
        trained = config.facts.trains
        return TrainingFacts(
            model=self.run.title,
            loss=config.loss if trained else None,
            loss_temperature=config.loss_temperature if trained and config.loss == "dsl" else None,
            streams=config.strategies,
            shuffle_frames=config.shuffle_frames,
            seed=config.seed,
            selection=self.run.record["selection"],
            tags=config.tags,
        )


def open_subject(
    run: Run,
    features: Sequence[str] = (),
    *,
    protocol: str | None = None,
    subset: str = "test",
    allow_missing: bool = False,
    device: str = "auto",
    resident: str = "auto",
) -> Subject:
    """A run with the store at `features`, or where none is named the one that the run was trained on.

    `protocol` None is the run's; captions of `subset` without features are an error unless `allow_missing`.
    Raises `CamoeError` for what is no store, and where run and store do not fit each other.
    """
    paths = tuple(features) or run.features
    store = FeatureStore.open(paths)
    scorer = RunScorer(
        run,
        store,
        protocol=protocol,
        subset=subset,
        allow_missing=allow_missing,
        device=device,
        resident=resident,
    )
    return Subject(run, store, store_name(paths), scorer)
