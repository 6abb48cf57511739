"""What a report is made of: a run's evaluation, the reference beside it, and scores by stream."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...pipeline.reranking.table import make, turned
from ...pipeline.scores import MatrixScores, Scores
from ...pipeline.store.schema import FULL, FUSION
from ...train.config import TrainConfig
from ...train.model import FeatureShape, build_model
from ...train.run_folder import METRICS, Run
from ..compare import refuse_unlike
from ..names import NONE, Reranking
from ..ranked import Method, Ranked, rank_subset
from ..result import Evaluation, RerankingResult
from ..run import describe, reranking_results
from ..score_source import model_scores
from ..search.searcher import Searcher
from ..subject import Subject, open_subject
from .choose import ambiguous_rows
from .config import ReportConfig
from .streams import StreamNumbers, gate_shares, mixed_ranking, stream_numbers, stream_scores, weighted_ranking
from .survey import Survey, survey

ZERO_SHOT = "zero-shot"
DSL = ("dsl", "dsl-log")


@dataclass(frozen=True)
class Material:
    """One run on the subset. `rows (M,)` are the queries' captions in the store, in the order of `ranked.queries`."""

    subject: Subject
    ranked: Ranked
    evaluation: Evaluation
    config: ReportConfig
    epochs: list[dict[str, Any]]
    rows: list[int]

    @property
    def path(self) -> Path:
        """The run's folder, as it was named."""
        return self.subject.run.path

    @property
    def method(self) -> Method:
        """How its scores became numbers."""
        return self.config.evaluation(self.path).method

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
    def scores(self) -> Scores:
        """The raw scores `(M, N)`: the evaluation's matrix, or blocks of it if that was too large to hold."""
        if self.ranked.scored:
            return MatrixScores.of(self.ranked.scored.similarity)
        scorer, subset = self.subject.scorer, self.config.subset
        captions, videos = scorer.features.captions_of(subset), scorer.features.videos_of(subset)
        return model_scores(scorer.model, scorer.features, captions, videos, most_bytes=self.method.max_matrix_bytes)

    @cached_property
    def surveys(self) -> dict[str, Survey]:
        """By direction, what all of its scores say."""
        device, name = self.scores.device, self.dsl
        captions = torch.from_numpy(self.owner).to(device)
        videos = torch.arange(len(self.video_ids), device=device)
        return {
            direction: survey(
                turned(self.scores, direction),
                own_of,
                item_of,
                None if name is None else make(name, self.ranked.settings[name]),
            )
            for direction, own_of, item_of in (("t2v", captions, videos), ("v2t", videos, captions))
        }

    @property
    def dsl(self) -> str | None:
        """The Dual Softmax re-ranking that the report holds, if any."""
        return next((name for name in DSL if name in self.ranked.ranks), None)

    @cached_property
    def streams(self) -> list[StreamNumbers]:
        """What each stream is worth; nothing of a run with one stream."""
        strategies = self.subject.run.config.strategies
        if len(strategies) < 2:
            return []
        weights = dict(zip(strategies, self.subject.scorer.model.weights.tolist(), strict=True))
        size = 4 * len(strategies) * self.scores.shape[0] * self.scores.shape[1]
        if self.ranked.scored is None or size > self.method.max_matrix_bytes:
            return stream_numbers(
                weighted_ranking(self.subject.scorer, self.config.subset, self.method), weights, strategies
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


def open_subjects(runs: Sequence[Run], config: ReportConfig) -> list[Subject]:
    """Runs with their stores, on the device; raises `CamoeError` for those that do not fit, or not each other."""
    subjects = [
        open_subject(
            run,
            config.features,
            protocol=config.protocol,
            subset=config.subset,
            allow_missing=config.allow_missing,
            device=config.device,
        )
        for run in runs
    ]
    for other in subjects[1:]:
        refuse_unlike(subjects[0], other, config.subset)
    return subjects


def evaluated(subject: Subject, config: ReportConfig) -> Material:
    """Evaluate a run as `camoe-evaluate` does, without writing anything; raises `CamoeError` as that."""
    method = config.evaluation(subject.run.path).method
    ranked = rank_subset(subject.scorer, config.subset, method)
    return Material(
        subject=subject,
        ranked=ranked,
        evaluation=describe(subject, ranked, method, subset=config.subset),
        config=config,
        epochs=read_epochs(subject.run.path / METRICS),
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
    method = replace(material.method, rerankings=(Reranking(NONE),))
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
