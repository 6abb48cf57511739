"""What is searched: a range or a list of choices for each setting, as a file gives them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import NoneType
from typing import Any, get_args

from ....pipeline.config import unknown_name
from ....pipeline.errors import CamoeError
from ..grid import HINTS, Values, check_name, shown, value_of

RANGE = ("low", "high", "log", "step")
UNSEARCHED = {
    "rerank": "a re-ranking is not trained; list it under grid, as grid: {rerank: [none, dsl]}",
    "rerank_temperature": "a re-ranking is not trained; give it under base",
}
MOST_CORNERS = 4096


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both among them; whole ones where both are `int`."""

    low: float
    high: float
    log: bool = False
    step: float | None = None

    @property
    def ends(self) -> tuple[Any, ...]:
        """Values that stand for all where settings are checked."""
        return self.low, self.high

    def __str__(self) -> str:
        ways = (", log" if self.log else "") + ("" if self.step is None else f", step {shown(self.step)}")
        return f"{shown(self.low)} to {shown(self.high)}{ways}"


@dataclass(frozen=True)
class Choices:
    """Any of `values`."""

    values: tuple[Any, ...]

    @property
    def ends(self) -> tuple[Any, ...]:
        """Values that stand for all where settings are checked."""
        return self.values

    def __str__(self) -> str:
        return ", ".join(map(shown, self.values))


Space = Mapping[str, Range | Choices]
"""By the setting's name."""


def read_space(given: Any, where: str) -> Space:
    """The space that `search:` of a file holds; raises `CamoeError` beginning with `where` for what does not fit."""
    if not isinstance(given, Mapping) or not given:
        raise CamoeError(f"{where} holds `name: {{low: …, high: …}}` and `name: [choices]` lines, not {given!r}")
    return {name: _dimension(name, value, where) for name, value in given.items()}


def corners(space: Space) -> Iterable[Values]:
    """Settings at the ends of all ranges, and every choice; of very many the first."""
    combinations = itertools.product(*(dimension.ends for dimension in space.values()))
    for values in itertools.islice(combinations, MOST_CORNERS):
        yield dict(zip(space, values, strict=True))


def _dimension(name: Any, given: Any, where: str) -> Range | Choices:
    check_name(name, where)
    if name in UNSEARCHED:
        raise CamoeError(f"{where} cannot hold {name}: {UNSEARCHED[name]}")
    if isinstance(given, Mapping):
        return _range(name, given, where)
    values = dict.fromkeys(value_of(name, value, where) for value in given) if isinstance(given, list) else ()
    if len(values) < 2:
        raise CamoeError(
            f"{where}: {name} is a range, as {{low: 1, high: 4}}, or a list of two choices or more, not {given!r}; "
            "a single value goes to base"
        )
    return Choices(tuple(values))


def _range(name: str, given: Mapping[Any, Any], within: str) -> Range:
    where = f"{within}: {name}"
    for key in given:
        if key not in RANGE:
            raise CamoeError(f"{where}: {unknown_name(key, RANGE, 'key')}")
    kind = next((kind for kind in _kinds(name) if kind in (int, float)), None)
    if kind is None:
        raise CamoeError(f"{where} is no number; give a list of choices")
    if not {"low", "high"} <= given.keys():
        raise CamoeError(f"{where} needs both low and high")
    low, high = (_number(name, given[key], within, key) for key in ("low", "high"))
    log, step = given.get("log", False), given.get("step")
    if not isinstance(log, bool):
        raise CamoeError(f"{where}: log must be true or false, not {log!r}")
    if not low < high:
        raise CamoeError(f"{where}: low must be below high, not {shown(low)} and {shown(high)}")
    if log and not low > 0:
        raise CamoeError(f"{where}: log needs a low above 0, not {shown(low)}")
    if step is not None:
        step = _number(name, step, within, "step")
        if log or not 0 < step <= high - low:
            raise CamoeError(f"{where}: step must be above 0, at most high - low, and not beside log")
        high = low + math.floor((high - low) / step + 1e-9) * step  # the last that steps reach
    return Range(low, high, log, step)


def _number(name: str, value: Any, within: str, key: str) -> Any:
    with suppress(CamoeError):
        number = value_of(name, value, within)
        if number is not None and math.isfinite(number):
            return number
    whole = int in _kinds(name)
    raise CamoeError(f"{within}: {name}: {key} must be a {'whole' if whole else 'finite'} number, not {value!r}")


def _kinds(name: str) -> tuple[Any, ...]:
    hint = HINTS[name]
    return tuple(kind for kind in get_args(hint) if kind is not NoneType) if NoneType in get_args(hint) else (hint,)
