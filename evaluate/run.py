"""Evaluation: `evaluate(config)` ranks a subset with a run's model and writes the numbers into the run folder."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..train.names import DEVICE
from ..train.run_folder import load_run
from .card import refresh_card
from .compare import differences, refuse_unlike, unlike_settings
from .config import EvaluateConfig
from .cost import run_cost
from .export import check_exports, rank_table, write_exports
from .gap import train_val_gap
from .names import RERANKINGS
from .ranked import Method, Ranked, rank_subset
from .result import (
    Comparison,
    Evaluation,
    Intervals,
    MetricIntervals,
    RerankingResult,
    check_results_folder,
)
from .significance import bootstrap_intervals
from .stress import stress_test
from .subject import Subject, open_subject
from .tidy import evaluation_rows, write_metrics

if TYPE_CHECKING:
    import pandas as pd


def evaluate(config: EvaluateConfig, say: Callable[[str], None] = lambda line: None) -> Evaluation:
    """Evaluate as configured, write `evaluation/<store>-<protocol>-<subset>.json` into the run folder, and return it.

    `say` is told what happens to the files of an earlier evaluation. Raises `CamoeError` where there is no run, no
    store, or no subset of its protocol, or for a comparison of unlike runs; nothing is written then.
    """
    check_results_folder(config.run_folder)
    subject, method = _open(config, config.run_folder), config.method
    ranked = rank_subset(subject.scorer, config.subset, method)
    check_exports(ranked, trec=config.trec, stress=config.stress)
    evaluation = describe(
        subject,
        ranked,
        method,
        subset=config.subset,
        other=_open(config, config.compare) if config.compare else None,
        stress=config.stress,
        cost=config.cost,
    )
    for line in write_exports(evaluation, ranked, ranks=config.ranks, trec=config.trec):
        say(line)
    evaluation.write()
    write_metrics(evaluation.path.with_suffix(".metrics.parquet"), evaluation_rows(evaluation))
    if told := refresh_card(subject.run):
        say(told)
    return evaluation


def rank_frame(config: EvaluateConfig) -> pd.DataFrame:
    """The rank of every query, as `--ranks` writes it; no file is written.

    Columns: `rerank`, `direction` (`t2v`, `v2t`), `query` (a caption or video id), `video` (the right one), `rank`.
    """
    return rank_table(rank_subset(_open(config, config.run_folder).scorer, config.subset, config.method))


def describe(
    subject: Subject,
    ranked: Ranked,
    method: Method,
    *,
    subset: str,
    other: Subject | None = None,
    stress: bool = False,
    cost: bool = False,
) -> Evaluation:
    """The record of one ranked subset, beside `other` on the same queries where one is given.

    With `stress` and `cost` what these measure is in it too.
    """
    scorer = subject.scorer
    return Evaluation(
        run=str(subject.run.path),
        training=subject.describe_training(),
        store=subject.describe_store(),
        protocol=scorer.protocol,
        subset=subset,
        v2t=ranked.v2t,
        captions=len(ranked.queries.caption_ids),
        videos=len(ranked.queries.video_ids),
        missing_captions=scorer.missing_captions,
        shortfall=scorer.shortfall,
        rerankings=reranking_results(ranked, method, transductive=subject.run.config.emcl),
        left_out=ranked.left_out,
        gap=train_val_gap(scorer, ranked.v2t, method.seed),
        comparison=compare(subject, other, ranked, method, subset) if other else None,
        stress=stress_test(ranked.scored, method.seed) if stress and ranked.scored else None,
        cost=run_cost(subject.run, measured=cost),
    )


def reranking_results(ranked: Ranked, method: Method, *, transductive: bool = False) -> dict[str, RerankingResult]:
    """The numbers of every re-ranking; `transductive` says that the model itself needs all queries at once."""
    metrics = {name: ranked.metrics(name) for name in ranked.ranks}
    return {
        name: RerankingResult(
            t2v=metrics[name].t2v,
            v2t=metrics[name].v2t,
            transductive=transductive or RERANKINGS[name].transductive,
            options=ranked.settings[name],
            hubness=ranked.hubness.get(name),
            intervals=_intervals(ranked, name, method) if method.resamples else None,
        )
        for name in ranked.ranks
    }


def compare(subject: Subject, other: Subject, ranked: Ranked, method: Method, subset: str) -> Comparison:
    """The other run's numbers on the same queries, and the differences this run minus the other.

    Raises `CamoeError` where they cannot be compared.
    """
    refuse_unlike(subject, other, subset)
    other_ranked = rank_subset(other.scorer, subset, method)
    return Comparison(
        run=str(other.run.path),
        training=other.describe_training(),
        rerankings=reranking_results(other_ranked, method, transductive=other.run.config.emcl),
        differences=differences(ranked, other_ranked, resamples=method.resamples, seed=method.seed),
        unlike=unlike_settings(subject.run.config, other.run.config),
    )


def _open(config: EvaluateConfig, run: Path) -> Subject:
    subject = open_subject(
        load_run(run),
        config.features,
        protocol=config.protocol,
        subset=config.subset,
        allow_missing=config.allow_missing,
        device=config.device,
        resident=config.resident,
    )
    chosen = subject.scorer.residence
    if chosen.told and chosen.name != DEVICE:
        print(chosen.told, file=sys.stderr, flush=True)
    return subject


def _intervals(ranked: Ranked, name: str, method: Method) -> Intervals:
    """95 %, whole videos drawn with their captions."""
    ranks, bootstrap = ranked.ranks[name], partial(bootstrap_intervals, resamples=method.resamples, seed=method.seed)
    owner, lower = ranked.queries.video_of_caption, ranked.lower_median
    found = bootstrap(ranks.t2v, owner, lower_median=lower), bootstrap(ranks.v2t)
    return Intervals(*map(MetricIntervals.of, found))
