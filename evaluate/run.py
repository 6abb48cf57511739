"""Evaluation: `evaluate(config)` ranks a subset with a run's model and writes the numbers into the run folder."""

from __future__ import annotations

from typing import Any

from ..train.run_folder import load_run
from .compare import differences, refuse_unlike
from .config import EvaluateConfig
from .export import check_exports, write_exports
from .gap import train_val_gap
from .metrics import summarise_ranks
from .ranked import Ranked, rank
from .rerank import RERANKERS
from .result import Evaluation
from .significance import bootstrap_intervals
from .stress import stress_test
from .subject import Subject, open_subject


def evaluate(config: EvaluateConfig) -> Evaluation:
    """Evaluate as configured, write `evaluation/<store>-<protocol>-<subset>.json` into the run folder, and return it.

    Raises `CamoeError` for what is no run, no store, or no subset of its protocol, or for a comparison of unlike
    runs; nothing is written then.
    """
    subject = open_subject(config, load_run(config.run_folder))
    ranked = rank(subject, config)
    check_exports(ranked, config)
    evaluation = describe(subject, ranked, config)
    write_exports(evaluation, subject, ranked, config)
    evaluation.write()
    return evaluation


def describe(subject: Subject, ranked: Ranked, config: EvaluateConfig) -> Evaluation:
    """The record of one ranked subset."""
    scorer = subject.scorer
    return Evaluation(
        run=str(subject.run.path),
        training=subject.describe_training(),
        store=subject.describe_store(),
        protocol=scorer.protocol,
        subset=config.subset,
        v2t=config.v2t,
        captions=len(ranked.video_of_caption),
        videos=len(ranked.ranks["none"].v2t),
        missing_captions=scorer.missing_captions,
        shortfall=scorer.shortfall,
        rerankings=rerankings(ranked, config),
        left_out=ranked.left_out,
        gap=train_val_gap(scorer, config.v2t, config.seed),
        comparison=_comparison(subject, ranked, config) if config.compare else None,
        stress=stress_test(ranked.pool, config.seed) if config.stress and ranked.pool else None,
    )


def rerankings(ranked: Ranked, config: EvaluateConfig) -> dict[str, dict[str, Any]]:
    """The numbers of every re-ranking."""
    return {
        name: {
            "t2v": summarise_ranks(ranks.t2v, lower_median=ranked.lower_median),
            "v2t": summarise_ranks(ranks.v2t),
            "transductive": RERANKERS[name].transductive,
            "options": ranked.pool.settings(name) if ranked.pool else {},
            "hubness": ranked.hubness.get(name),
            "intervals": _intervals(ranked, name, config) if config.resamples else None,
        }
        for name, ranks in ranked.ranks.items()
    }


def _intervals(ranked: Ranked, name: str, config: EvaluateConfig) -> dict[str, dict[str, list[float]]]:
    """`{"t2v": {"R@1": [low, high], …}, "v2t": …}`, 95 %, whole videos drawn with their captions."""
    ranks, resamples, seed = ranked.ranks[name], config.resamples, config.seed
    found = {
        "t2v": bootstrap_intervals(
            ranks.t2v, ranked.video_of_caption, lower_median=ranked.lower_median, resamples=resamples, seed=seed
        ),
        "v2t": bootstrap_intervals(ranks.v2t, resamples=resamples, seed=seed),
    }
    return {
        direction: {metric: [interval.low, interval.high] for metric, interval in intervals.items()}
        for direction, intervals in found.items()
    }


def _comparison(subject: Subject, ranked: Ranked, config: EvaluateConfig) -> dict[str, Any]:
    """The other run's numbers on the same queries, and the differences this run minus the other."""
    assert config.compare is not None
    other = open_subject(config, load_run(config.compare))
    refuse_unlike(subject, other, config.subset)
    other_ranked = rank(other, config)
    return {
        "run": str(other.run.path),
        "training": other.describe_training(),
        "rerankings": rerankings(other_ranked, config),
        "differences": differences(ranked, other_ranked, config),
    }
