"""Records that are JSON files: frozen dataclasses, written key by key and read back with every value checked.

A file may come from others, or be damaged: a value of another type, a number that no float holds and characters that
are no text are refused by the key.
"""

from __future__ import annotations

import dataclasses
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

RecordType = TypeVar("RecordType", bound="Record")
DEEPEST = 50
"""Levels of free values (`Any`) that a file may hold."""


def named(key: str) -> Any:
    """A field whose JSON key is no Python name, as `R@1`."""
    return dataclasses.field(metadata={"key": key})


def apart(default_factory: Any) -> Any:
    """A field that is not in the JSON, such as arrays that lie in a file of their own."""
    return dataclasses.field(default_factory=default_factory, compare=False, metadata={"apart": True})


@dataclasses.dataclass(frozen=True)
class Record:
    """Base of the records. `record["R@1"]` reads a field by its JSON key."""

    @classmethod
    def json_keys(cls) -> tuple[str, ...]:
        """The JSON's keys, in its order."""
        return tuple(_fields(cls))

    def __getitem__(self, key: str) -> Any:
        field = _fields(type(self)).get(key)
        if field is None:
            raise KeyError(key)
        return getattr(self, field.name)

    def to_json(self) -> dict[str, Any]:
        """Plain values: what `json.dumps` takes."""
        return {key: _plain(getattr(self, field.name)) for key, field in _fields(type(self)).items()}

    @classmethod
    def from_json(cls: type[RecordType], value: object, called: str = "") -> RecordType:
        """The record in plain values; `ValueError` names the key that is missing, unknown or of another type, and the
        record as it is `called`, or by its class."""
        return _read_record(cls, value, called or cls.__name__.lower())


def _fields(kind: type[Record]) -> dict[str, dataclasses.Field]:
    fields = [field for field in dataclasses.fields(kind) if not field.metadata.get("apart")]
    return {field.metadata.get("key", field.name): field for field in fields}


def _hints(kind: type[Record]) -> dict[str, Any]:
    return get_type_hints(kind)


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return value.to_json()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _read_record(kind: type[RecordType], value: object, where: str) -> RecordType:
    if not isinstance(value, dict):
        raise ValueError(f"{where} is {_told(value)}, not an object")
    fields, hints = _fields(kind), _hints(kind)
    if unknown := [key for key in value if key not in fields]:
        raise ValueError(f"{where} has the unknown key {str(unknown[0])[:40]!r}")
    found = {}
    for key, field in fields.items():
        if key in value:
            found[field.name] = _read(hints[field.name], value[key], f"{where}.{key}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ValueError(f"{where} lacks the key {key!r}")
    return kind(**found)


def _read(hint: Any, value: object, where: str) -> Any:
    """`value` as the type `hint`."""
    options = get_args(hint)
    if get_origin(hint) in (Union, UnionType):
        return _read_option([option for option in options if option is not NoneType], value, where)
    if get_origin(hint) is dict:
        if not isinstance(value, dict):
            raise ValueError(f"{where} is {_told(value)}, not an object")
        return {str(key): _read(options[1], item, f"{where}.{key}") for key, item in value.items()}
    if get_origin(hint) is tuple:
        return _read_tuple(options, value, where)
    if isinstance(hint, type) and issubclass(hint, Record):
        return _read_record(hint, value, where)
    return _free(value, where) if hint is Any else _scalar(hint, value, where)


def _read_option(kinds: list[Any], value: object, where: str) -> Any:
    """A value of one of several types, or nothing."""
    if value is None:
        return None
    for kind in kinds[:-1]:
        if isinstance(kind, type) and type(value) is kind:
            return value
    return _read(kinds[-1], value, where)


def _read_tuple(options: tuple[Any, ...], value: object, where: str) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"{where} is {_told(value)}, not a list")
    kinds = [options[0]] * len(value) if options[-1] is Ellipsis else list(options)
    if len(kinds) != len(value):
        raise ValueError(f"{where} has {len(value)} values instead of {len(kinds)}")
    return tuple(_read(kind, item, where) for kind, item in zip(kinds, value, strict=True))


def _scalar(kind: Any, value: object, where: str) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**1000:
        return float(value)
    if type(value) is not kind or (kind is int and not -(2**63) <= int(value) < 2**63):  # type: ignore[call-overload]
        raise ValueError(f"{where} is {_told(value)}, not a {kind.__name__}")
    if isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise ValueError(f"{where} holds characters that are no text")
    return value


def _free(value: Any, where: str, level: int = 0) -> Any:
    if level > DEEPEST:
        raise ValueError(f"{where} is nested too deep")
    if isinstance(value, dict):
        return {key: _free(item, where, level + 1) for key, item in value.items()}
    return [_free(item, where, level + 1) for item in value] if isinstance(value, list) else value


def _told(value: object) -> str:
    return f"{str(value)[:40]!r}" if isinstance(value, (str, int, float, bool)) else f"a {type(value).__name__}"
