from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from camoe.pipeline.record import Record, apart, named


@dataclass(frozen=True)
class Part(Record):
    recall: float = named("R@1")


@dataclass(frozen=True)
class Whole(Record):
    name: str
    count: int
    parts: dict[str, Part]
    span: tuple[float, float] | None
    either: int | float = 0
    free: dict[str, Any] = field(default_factory=dict)
    rows: tuple[Part, ...] = ()
    arrays: list[int] = apart(list)


WHOLE = Whole("a", 3, {"x": Part(1.5)}, (0.0, 2.0), 1.5, {"deep": [{"y": None}]}, (Part(0.0), Part(2.0)), [1, 2])
PLAIN: dict[str, Any] = WHOLE.to_json()


def test_there_and_back() -> None:
    assert PLAIN["parts"] == {"x": {"R@1": 1.5}}
    assert "arrays" not in PLAIN
    assert Whole.from_json(json.loads(json.dumps(PLAIN))) == WHOLE
    assert WHOLE["parts"]["x"]["R@1"] == 1.5
    with pytest.raises(KeyError):
        WHOLE["arrays"]


def test_what_has_a_default_may_be_missing_and_a_whole_number_is_a_number() -> None:
    short = {"name": "a", "count": 1, "parts": {"x": {"R@1": 2}}, "span": None}
    read = Whole.from_json(short)
    assert (read.either, read.rows) == (0, ())
    assert type(read.parts["x"].recall) is float


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"name": 3}, "whole.name is '3', not a str"),
        ({"count": True}, "whole.count is 'True', not a int"),
        ({"count": 2**70}, "whole.count is"),
        ({"count": 1.0}, "whole.count is '1.0', not a int"),
        ({"parts": [1]}, "whole.parts is a list, not an object"),
        ({"parts": {"x": {}}}, "whole.parts.x lacks the key 'R@1'"),
        ({"parts": {"x": {"R@1": "high"}}}, "whole.parts.x.R@1 is 'high', not a float"),
        ({"parts": {"x": {"R@1": 10**400}}}, "not a float"),
        ({"span": [1.0]}, "whole.span has 1 values instead of 2"),
        ({"rows": {}}, "whole.rows is a dict, not a list"),
        ({"more": 1}, "whole has the unknown key 'more'"),
        ({"arrays": [1]}, "unknown key 'arrays'"),
    ],
)
def test_what_does_not_fit_is_named(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence.replace("(", r"\(")):
        Whole.from_json(PLAIN | change)


def test_free_values_have_a_depth() -> None:
    deep: Any = []
    for _ in range(60):
        deep = [deep]
    with pytest.raises(ValueError, match="nested too deep"):
        Whole.from_json(PLAIN | {"free": {"x": deep}})
