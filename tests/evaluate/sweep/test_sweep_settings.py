from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from camoe.evaluate.sweep.settings import CellConfig, identity, idle, key_of
from click.testing import CliRunner

RAW = [("none", None)]


def cell(**settings: Any) -> CellConfig:
    return CellConfig(features=("store.h5",), **settings)


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ({}, {"experts": 3}, True),
        ({}, {"aggregator": ("attention",) * 3}, True),
        ({}, {"stream_weights": (2, 2, 2)}, True),
        ({}, {"strategy": ("muw", "entity=muw")}, True),
        ({"loss": "ce"}, {"loss": "ce", "loss_temperature": 3}, True),
        ({"model": "zero-shot"}, {"model": "zero-shot", "seed": 5, "epochs": 2}, True),
        ({"streams": "fusion"}, {"streams": "fusion", "strategy": "rkw"}, True),
        ({}, {"seed": 1}, False),
        ({}, {"strategy": "full"}, False),
        ({}, {"streams": ("entity", "fusion", "action")}, False),
        ({"loss": "dsl"}, {"loss": "dsl", "loss_temperature": 3}, False),
        (
            {"model": "zero-shot", "shuffle_frames": True},
            {"model": "zero-shot", "seed": 5, "shuffle_frames": True},
            False,
        ),
    ],
)
def test_the_same_numbers_have_the_same_key(first: dict, second: dict, same: bool) -> None:
    keys = {key_of(cell(**settings), RAW, store="a") for settings in (first, second)}
    assert len(keys) == (1 if same else 2)


def test_a_key_depends_on_store_and_re_rankings() -> None:
    keys = {
        key_of(cell(), RAW, store="a"),
        key_of(cell(), RAW, store="b"),
        key_of(cell(), [*RAW, ("dsl", 1.0)], store="a"),
    }
    assert len(keys) == 3


def test_where_a_run_is_written_does_not_matter() -> None:
    assert identity(cell(out=Path("x"), device="cuda", threads=4)) == identity(cell())


def test_settings_without_effect() -> None:
    assert idle(cell(aggregator="mean")) == {
        "loss_temperature",
        "stop_gradient_prior",
        "attention_layers",
        "padding",
        "trials",
        "emcl",
        "own_loss",
        "rerank_temperature",
    }
    assert idle(cell(loss="dsl", rerank="dsl")) == {"padding", "trials", "emcl", "own_loss"}
    assert idle(cell(loss="dsl", rerank="dsl", emcl=True)) == {"padding", "trials", "own_loss"}


def test_the_command_tells_mistakes_in_one_line(tmp_path: Path, random_store_maker) -> None:
    from camoe.evaluate.sweep.cli import main

    store = str(random_store_maker("store.h5", {"train": 20, "val": 6, "test": 6}))
    runner = CliRunner()
    for grid, message in (
        ("papr", "camoe-sweep: there is no grid 'papr'; did you mean 'paper'?"),
        ("strategy", "camoe-sweep: the store lacks texts of 3 cells"),
    ):
        result = runner.invoke(main, ["--features", store, "--grid", grid, "--out", str(tmp_path / "out")])
        assert result.exit_code == 2
        assert result.output.startswith(message)
        assert result.output.count("\n") == 1
        assert not (tmp_path / "out").exists()
    result = runner.invoke(main, ["--features", store, "--grid", "gate", "--dry-run", "--no-ensemble"])
    assert result.exit_code == 0
    assert "9 runs one by one, one process a core" in result.output
