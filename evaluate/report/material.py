"""What a report is made of: a run's evaluation, the reference beside it, and scores by stream."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ...pipeline.store.schema import FULL, FUSION
from ...train.config import TrainConfig
from ...train.model import FeatureShape, build_model
from ...train.run_folder import METRICS, load_run
from ..names import NONE, Reranking
from ..ranked import Ranked, rank_subset
from ..result import Evaluation, RerankingResult
from ..run import describe, reranking_results
from ..search.searcher import Searcher
from ..subject import Subject, open_subject
from .choose import ambiguous_rows
from .config import ReportConfig
from .scores import ComputedScores, HeldScores, SubsetScores
from .streams import StreamNumbers, gate_shares, mixed_ranking, stream_numbers, stream_scores, weighted_ranking

ZERO_SHOT = "zero-shot"


@dataclass(frozen=True)
class Material:
    """One run on the subset. `rows (M,)` are the queries' captions in the store, in the order of `ranked.queries`."""

    path: Path
    subject: Subject
    ranked: Ranked
    evaluation: Evaluation
    config: ReportConfig
    epochs: list[dict[str, Any]]
    rows: list[int]

    @property
    def owner(self) -> np.ndarray:
        """Each caption's video among the gallery's."""
        return self.ranked.queries.video_of_caption

    @property
    def video_ids(self) -> list[str]:
        """Ids of the gallery's `N` videos."""
        return self.ranked.queries.video_ids

    @cached_property
    def captions(self) -> list[str]:
        """The `M` captions."""
        texts = self.subject.store.caption_texts
        return texts.take(np.array(self.rows, np.int64)).tolist()

    @cached_property
    def ambiguous(self) -> dict[int, int]:
        """Captions that stand on several videos, by row: on how many."""
        return ambiguous_rows(self.captions, self.owner)

    @cached_property
    def scores(self) -> SubsetScores:
        """The raw scores: the evaluation's matrix, or computed where they are needed if that was too large to hold."""
        if self.ranked.scored:
            return HeldScores(self.ranked.scored.similarity)
        return ComputedScores(self.subject.scorer, self.config.subset)

    @cached_property
    def streams(self) -> list[StreamNumbers]:
        """What each stream is worth; nothing of a run with one stream."""
        strategies = self.subject.run.config.strategies
        if len(strategies) < 2:
            return []
        weights = dict(zip(strategies, self.subject.scorer.model.weights.tolist(), strict=True))
        size = 4 * len(strategies) * self.scores.shape[0] * self.scores.shape[1]
        if self.ranked.scored is None or size > self.config.max_matrix_gb * 2**30:
            method = self.config.evaluation(self.path).method
            return stream_numbers(
                weighted_ranking(self.subject.scorer, self.config.subset, method), weights, strategies
            )
        found = stream_scores(self.subject.scorer, self.config.subset)
        return stream_numbers(mixed_ranking(found, self.ranked), weights, strategies)

    @cached_property
    def gate(self) -> np.ndarray | None:
        """`(N, S, E)` gate weights."""
        return gate_shares(self.subject.scorer, self.config.subset)

    @cached_property
    def searcher(self) -> Searcher:
        """The run's model against single frames of the gallery; without EMCL, which a single frame has no share in."""
        return Searcher.open(
            self.path,
            self.config.features or self.subject.run.features,
            subset=self.config.subset,
            protocol=self.subject.scorer.protocol,
            device=self.config.device,
            without_emcl=True,
        )

    @cached_property
    def sentences(self) -> dict[str, tuple[str, list[str]]]:
        """By stream, its strategy and what it read of each caption; without those that read it whole."""
        store, found = self.subject.store, {}
        for stream, strategy in self.subject.run.config.strategies.items():
            if stream != FUSION and strategy != FULL:
                table = store.text_table(strategy, stream, np.array(self.rows, np.int64))
                found[stream] = strategy, [table.sentence[row] for row in table.row.tolist()]
        return found


@dataclass(frozen=True)
class Reference:
    """Zero-shot on the same queries: mean-pooled frames against the whole caption, nothing learnt."""

    result: RerankingResult
    ranked: Ranked


def open_material(path: Path, config: ReportConfig) -> Material:
    """Evaluate a run as `camoe-evaluate` does, without writing anything; raises `CamoeError` as that."""
    subject = open_subject(
        load_run(path),
        config.features,
        protocol=config.protocol,
        subset=config.subset,
        allow_missing=config.allow_missing,
        device=config.device,
    )
    method = config.evaluation(path).method
    ranked = rank_subset(subject.scorer, config.subset, method)
    return Material(
        path=path,
        subject=subject,
        ranked=ranked,
        evaluation=describe(subject, ranked, method, subset=config.subset),
        config=config,
        epochs=read_epochs(path / METRICS),
        rows=subject.scorer.features.captions_of(config.subset).tolist(),
    )


def zero_shot(material: Material) -> Reference | None:
    """The reference beside a run; none where the run is that itself."""
    run, config = material.subject.run, material.config
    if run.config.model == ZERO_SHOT and run.config.streams == (FUSION,):
        return None
    plain = TrainConfig(features=run.config.features, model=ZERO_SHOT, streams=(FUSION,))
    shape: FeatureShape = material.subject.scorer.features.shape
    subject = open_subject(
        replace(run, config=plain, model=build_model(plain.recipe, shape).eval()),
        config.features or run.features,
        protocol=material.subject.scorer.protocol,
        subset=config.subset,
        allow_missing=config.allow_missing,
        device=config.device,
    )
    method = replace(config.evaluation(material.path).method, rerankings=(Reranking(NONE),))
    ranked = rank_subset(subject.scorer, config.subset, method)
    return Reference(reranking_results(ranked, method)[NONE], ranked)


def read_epochs(path: Path) -> list[dict[str, Any]]:
    """The rows of `metrics.jsonl`, as far as they can be read."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return []
    rows = []
    for line in lines:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict) and isinstance(row.get("epoch"), int):
            rows.append(row)
    return rows
