"""Results as a tidy table: one row a run, re-ranking, direction and metric; the same from runs and from sweeps."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..pipeline.atomic import atomic_path
from .names import DIRECTIONS, SEARCH_SIZES
from .result import Cost, Evaluation, Metrics

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

TEXT, WHOLE, NUMBER, TRUTH, TEXTS = "string", "int64", "double", "bool", "texts"
COLUMNS: dict[str, tuple[str, str]] = {
    "run": (TEXT, "run folder; of a sweep the run's key, which is `training` in `results.csv`"),
    "name": (TEXT, "name of the run folder, or the sweep's cell"),
    "model": (TEXT, "what was trained"),
    "loss": (TEXT, "`ce` or `dsl`; null where nothing was trained"),
    "loss_temperature": (NUMBER, "of `dsl`"),
    "seed": (WHOLE, "of the training"),
    "tags": (TEXTS, "the run's tags"),
    "store": (TEXT, "content hash of the store that was evaluated"),
    "trained_on": (TEXT, "content hash of the store that the run was trained on"),
    "clip_model": (TEXT, "the store's CLIP"),
    "protocol": (TEXT, "which captions are train, val and test"),
    "subset": (TEXT, "whose captions were ranked"),
    "captions": (WHOLE, "queries of `t2v`"),
    "videos": (WHOLE, "queries of `v2t`, and the gallery of `t2v`"),
    "incomplete": (TRUTH, "the copy of the data set, or the features, lack something"),
    "v2t": (TEXT, "convention of video-to-text, `c4c` or `ce`"),
    "rerank": (TEXT, "re-ranking; `none` is raw"),
    "rerank_options": (TEXT, "its options, as JSON"),
    "transductive": (TRUTH, "needs all queries at once"),
    "direction": (TEXT, "`t2v` or `v2t`"),
    "metric": (TEXT, "`R@1`, `R@5`, `R@10`, `R@50` in percent, `MdR`, `MnR`"),
    "value": (NUMBER, "the number"),
    "low": (NUMBER, "lower end of its 95 % interval; null where none was asked"),
    "high": (NUMBER, "upper end"),
    "parameters": (WHOLE, "numbers that are learnt"),
    "train_seconds": (NUMBER, "of training; of a sweep with the ranking of val and test"),
    "bytes_per_video": (WHOLE, "what an index keeps of a video, in float16"),
    **{
        f"ms_per_query_{size}": (NUMBER, f"of comparing a query with {size:,} videos; null where it was not measured")
        for size in SEARCH_SIZES
    },
    "extrapolated": (TEXTS, "the sizes whose milliseconds are extrapolated from fewer videos"),
}
"""Type and meaning by name; `docs/evaluation.md` shows them."""


def metric_rows(
    facts: dict[str, Any], cost: Cost | None, direction: str, metrics: Metrics, intervals: Any = None
) -> Iterator[dict[str, Any]]:
    """The rows of one re-ranking and direction: `facts` are the other columns, by name."""
    for metric in Metrics.json_keys():
        low, high = intervals[metric] if intervals else (None, None)
        row = facts | {"direction": direction, "metric": metric, "value": metrics[metric], "low": low, "high": high}
        yield row | _cost_columns(cost)


def evaluation_rows(evaluation: Evaluation) -> Iterator[dict[str, Any]]:
    """The rows of an evaluation; what it was compared with has rows of its own, where it was evaluated."""
    training, store = evaluation.training, evaluation.store
    facts = {
        "run": evaluation.run,
        "name": Path(evaluation.run).resolve().name,
        "model": training.model,
        "loss": training.loss,
        "loss_temperature": training.loss_temperature,
        "seed": training.seed,
        "tags": list(training.tags),
        "store": store.content_hash,
        "trained_on": store.trained_on,
        "clip_model": store.clip_model,
        "protocol": evaluation.protocol,
        "subset": evaluation.subset,
        "captions": evaluation.captions,
        "videos": evaluation.videos,
        "incomplete": bool(evaluation.missing_captions or evaluation.shortfall),
        "v2t": evaluation.v2t,
    }
    for name, result in evaluation.rerankings.items():
        reranking = {"rerank": name, "rerank_options": json.dumps(result.options), "transductive": result.transductive}
        for direction in DIRECTIONS:
            intervals = result.intervals[direction] if result.intervals else None
            yield from metric_rows(facts | reranking, evaluation.cost, direction, result[direction], intervals)


def metrics_frame(*evaluations: Evaluation) -> pd.DataFrame:
    """The numbers of evaluations as a table, as their `.metrics.parquet` holds them; `COLUMNS` says what each is."""
    return _table(row for evaluation in evaluations for row in evaluation_rows(evaluation)).to_pandas()


def write_metrics(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Publish the rows as parquet, whole or not at all."""
    import pyarrow.parquet  # not needed for --help

    with atomic_path(path) as temporary:
        pyarrow.parquet.write_table(_table(rows), temporary)


def _table(rows: Iterable[dict[str, Any]]) -> pa.Table:
    import pyarrow as pa

    kinds = {
        TEXT: pa.string(),
        WHOLE: pa.int64(),
        NUMBER: pa.float64(),
        TRUTH: pa.bool_(),
        TEXTS: pa.list_(pa.string()),
    }
    schema = pa.schema(
        [pa.field(name, kinds[kind], metadata={"description": told}) for name, (kind, told) in COLUMNS.items()]
    )
    return pa.Table.from_pylist(list(rows), schema=schema)


def _cost_columns(cost: Cost | None) -> dict[str, Any]:
    if cost is None:
        return {}
    times = cost.milliseconds or {}
    return {
        "parameters": cost.parameters,
        "train_seconds": cost.train_seconds,
        "bytes_per_video": cost.bytes_per_video,
        **{f"ms_per_query_{size}": times.get(str(size)) for size in SEARCH_SIZES},
        "extrapolated": list(cost.extrapolated),
    }
