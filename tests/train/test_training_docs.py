"""docs/training.md names every setting with its default and choices."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
from camoe.pipeline.config import choices_of
from camoe.train.aggregators import AGGREGATORS
from camoe.train.config import TrainConfig
from camoe.train.gate import GATES
from camoe.train.losses import LOSSES
from camoe.train.names import MODELS
from camoe.train.text_heads import TEXT_HEADS

PAGE = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")


def default_text(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "none"
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def test_the_table_of_settings_is_the_configs() -> None:
    table = PAGE.split("<!-- settings:")[1].split("<!-- end of settings -->")[0]
    rows = [line for line in table.splitlines() if line.startswith("| `")]
    expected = []
    for field in fields(TrainConfig):
        choices = choices_of(field)
        default = "required" if field.name == "features" else default_text(field.default)
        one_of = f" One of {', '.join(choices)}." if choices else ""
        expected.append(f"| `{field.name}` | {default} | {field.metadata['help']}{one_of} |")
    assert rows == expected


@pytest.mark.parametrize("table", [MODELS, AGGREGATORS, GATES, TEXT_HEADS, LOSSES])
def test_every_named_choice_is_explained(table: dict) -> None:
    before = PAGE.split("## Settings")[0]
    assert [name for name in table if f"`{name}`" not in before] == []
