"""The tidy table of results: its columns, and that its numbers are those of the JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pyarrow.parquet
from camoe.evaluate import metrics_frame, read_evaluation
from camoe.evaluate.config import EvaluateConfig
from camoe.evaluate.run import evaluate
from camoe.evaluate.tidy import COLUMNS

ROOT = Path(__file__).parents[2]


def test_every_number_of_an_evaluation_is_a_row(random_run: Path) -> None:
    found = evaluate(EvaluateConfig(run=random_run, rerank=("none", "dsl", "querybank"), bootstrap=20, cost=True))
    path = found.path.with_suffix(".metrics.parquet")
    table = pd.read_parquet(path)
    assert list(table.columns) == list(COLUMNS)
    assert len(table) == 3 * 2 * 6
    assert not table.duplicated(["run", "rerank", "direction", "metric"]).any()
    for row in table.to_dict("records"):
        result = found.rerankings[row["rerank"]]
        assert row["value"] == result[row["direction"]][row["metric"]]
        assert result.intervals is not None
        assert (row["low"], row["high"]) == result.intervals[row["direction"]][row["metric"]]
        assert row["transductive"] == (row["rerank"] == "dsl")
        assert json.loads(row["rerank_options"]) == result.options
    first = table.iloc[0]
    cost = found.cost
    assert cost is not None
    assert cost.milliseconds is not None
    assert (first["parameters"], first["bytes_per_video"]) == (cost.parameters, cost.bytes_per_video)
    assert first["ms_per_query_1000"] == cost.milliseconds["1000"]
    assert (first["captions"], first["videos"], bool(first["incomplete"])) == (80, 40, False)
    pd.testing.assert_frame_equal(metrics_frame(read_evaluation(found.path)), table)
    kinds = {field.name: str(field.type) for field in pyarrow.parquet.read_schema(path)}
    assert {kinds[name] for name in ("seed", "parameters")} == {"int64"}
    assert (kinds["value"], kinds["loss_temperature"], kinds["transductive"]) == ("double", "double", "bool")


def test_the_cost_is_in_the_json(random_run: Path) -> None:
    found = read_evaluation(evaluate(EvaluateConfig(run=random_run, rerank="none")).path)
    assert found.cost is not None
    assert found.cost.milliseconds is None
    values = json.loads(found.path.read_text())["cost"]
    assert values.keys() == {"parameters", "train_seconds", "bytes_per_video", "milliseconds", "extrapolated"}
    assert pd.isna(metrics_frame(found)["ms_per_query_1000"]).all()


def test_every_column_is_documented() -> None:
    page = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
    rows = page.partition("| column | type | |\n|---|---|---|\n")[2].partition("\n\n")[0].splitlines()
    assert rows == [
        f"| `{name}` | {'list of texts' if kind == 'texts' else kind} | {told} |"
        for name, (kind, told) in COLUMNS.items()
    ]
