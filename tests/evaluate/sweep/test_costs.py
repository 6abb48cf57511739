"""A sweep's costs: measured once, shared by rows of one model, beside the quality of every table."""

from __future__ import annotations

import json
from collections.abc import Callable

import pandas
import pytest
from camoe.evaluate.sweep import costs
from camoe.evaluate.sweep.config import SweepConfig
from camoe.evaluate.sweep.run import sweep

GRID = (
    "title: Two\ngrid: {model: [meanp, xpool], rerank: [none, dsl]}\n"
    "base: {streams: fusion, epochs: 1, batch_size: 16}\nseeds: [0]\n"
)


def rows(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]


def test_costs_are_beside_quality_and_measured_once(
    quick: Callable[..., SweepConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = quick(GRID)
    folder = sweep(config, lambda line: None).folder
    text = (folder / "costs.md").read_text()
    head, _, meanp, xpool = rows(text)
    assert head == [
        "model",
        "parameters",
        "seconds",
        "ms a query, 1,000 videos",
        "ms a query, 100,000 videos",
        "bytes a video",
    ]
    assert (meanp[0], xpool[0]) == ("meanp", "xpool")
    assert int(meanp[-1].replace(",", "")) < int(xpool[-1].replace(",", ""))
    assert text.strip() in (folder / "overview.md").read_text()
    table = pandas.read_csv(folder / "results.csv")
    assert list(table.columns[table.columns.get_loc("parameters") :][:5]) == head[1:]
    assert table[head[1:]].notna().all(axis=None)
    assert table.groupby("model")["bytes a video"].first().to_dict() == {
        name: int(row[-1].replace(",", "")) for name, row in (("meanp", meanp), ("xpool", xpool))
    }

    def measured_again(*_: object) -> None:
        raise AssertionError("what the folder has was measured again")

    monkeypatch.setattr(costs, "search_cost", measured_again)
    sweep(config, lambda line: None)
    assert (folder / "costs.md").read_text() == text


@pytest.mark.parametrize("damage", ["", "[]", '{"code": "x"}', "{", '{"code": "CODE", "costs": {"a": {"b": 1}}}'])
def test_a_damaged_file_is_measured_anew(quick: Callable[..., SweepConfig], damage: str) -> None:
    config = quick("grid: {loss: [ce]}\nbase: {model: meanp, streams: fusion, epochs: 1, batch_size: 16}\nseeds: [0]\n")
    folder = sweep(config, lambda line: None).folder
    kept = json.loads((folder / "costs.json").read_text())
    (folder / "costs.json").write_text(damage.replace("CODE", kept["code"]))
    sweep(config, lambda line: None)
    again = json.loads((folder / "costs.json").read_text())
    assert again["costs"].keys() == kept["costs"].keys()
