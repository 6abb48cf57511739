"""Records read from JSON that others may have altered: every value is checked against the dataclass's types."""

from __future__ import annotations

import dataclasses
import math
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

RecordType = TypeVar("RecordType")
LARGEST = 2**53
"""Whole numbers beyond it are no counts or sizes."""


def read_record(record_class: type[RecordType], values: Any, where: str = "it") -> RecordType:
    """An instance of the dataclass from JSON values, its own dataclasses, lists and dictionaries included.

    Fields that are absent take their defaults, unknown ones are left out. Raises `ValueError` naming the value that is
    missing or of the wrong type.
    """
    if not isinstance(values, dict):
        raise ValueError(f"{where} is not an object but a {type(values).__name__}")
    hints = get_type_hints(record_class)
    found = {}
    for field in dataclasses.fields(record_class):  # type: ignore[arg-type]
        if field.name in values:
            found[field.name] = _checked(values[field.name], hints[field.name], f"{where}: {field.name}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ValueError(f"{where} lacks {field.name}")
    return record_class(**found)


def _checked(value: Any, hint: Any, name: str) -> Any:
    if hint is Any:
        return value
    if get_origin(hint) in (Union, UnionType):
        (inner,) = (option for option in get_args(hint) if option is not NoneType)
        return None if value is None else _checked(value, inner, name)
    if dataclasses.is_dataclass(hint):
        return read_record(hint, value, name)  # type: ignore[arg-type]
    if get_origin(hint) is list and isinstance(value, list):
        return [_checked(item, get_args(hint)[0], f"{name}[{place}]") for place, item in enumerate(value)]
    if get_origin(hint) is dict and isinstance(value, dict):
        return {
            _checked(key, str, name): _checked(item, get_args(hint)[1], f"{name}.{key}") for key, item in value.items()
        }
    if not _fits(value, hint):
        raise ValueError(f"{name} is {_shown(value)}, not {_words(hint)}")
    return value


def _fits(value: Any, hint: Any) -> bool:
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) < LARGEST
    if hint is str:
        return isinstance(value, str) and not any("\ud800" <= letter <= "\udfff" for letter in value)
    return hint is bool and isinstance(value, bool)


def _words(hint: Any) -> str:
    plain = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
    return plain.get(hint) or ("a list" if get_origin(hint) is list else "an object")


def _shown(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return ascii(value) if len(ascii(value)) < 50 else f"{ascii(value)[:40]}…"
