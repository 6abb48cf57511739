"""Configs: frozen dataclasses that are at once the Python API, the YAML file and the command-line options.

    @dataclass(frozen=True, kw_only=True)
    class TrainConfig(Config):
        features: tuple[str, ...] = setting(help="the feature store")            # no default: must be given
        gate: str = setting("single", help="how experts are mixed", choices=("none", "single", "full"))

A `Config` converts and checks every field when it is built (`[1, 2]` becomes `(1, 2)`, `3` becomes `3.0`; `"3e-3"`,
which YAML reads as text, becomes a number) and then calls its own `check()`. `load_config` adds the YAML file.
"""

from __future__ import annotations

import dataclasses
import math
import reprlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import SequenceMatcher, get_close_matches
from os import PathLike, fspath
from pathlib import Path
from string import Formatter
from types import NoneType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import yaml

from .errors import CamoeError
from .file_kinds import file_kind
from .regular import open_regular
from .yaml_text import MAX_CHARACTERS, load_yaml

Choices = Iterable[str] | Callable[[], Iterable[str]]
KIND = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", Path: "a path"}


class SettingError(CamoeError):
    """Settings that do not fit. `{name}` in the template stands for a setting, and is spelled as the user gave it.

    `SettingError("{top} must be at most {most}, not {value}", most=9, value=10)` begins `--top must be` where it was an
    option, `FILE: top must be` where it stood in a config file, and `top must be` from Python.
    """

    def __init__(self, template: str, **values: object) -> None:
        self.template, self.values = template, values
        super().__init__(self.spelled(lambda name: name))

    def __reduce__(self) -> tuple[Any, ...]:
        return CamoeError, (str(self),)  # between processes, and from there on as it reads

    @classmethod
    def about(cls, name: str, told: str) -> SettingError:
        """Of the one setting `name`: `told` follows its name."""
        return cls(f"{{{name}}} {{told}}", told=told)

    @property
    def settings(self) -> list[str]:
        """The names in the template that are settings."""
        names = [name for _, name, _, _ in Formatter().parse(self.template) if name]
        return [name for name in names if name not in self.values]

    def spelled(self, spell: Callable[[str], str]) -> str:
        """The message, each setting's name as `spell` gives it."""
        return self.template.format(**self.values, **{name: spell(name) for name in set(self.settings)})


def setting(
    default: Any = dataclasses.MISSING,
    *,
    help: str,
    choices: Choices | None = None,
    flag: str | None = None,
    repeat: bool = False,
) -> Any:
    """A config field; without `default` it must be given. `choices`: a table's keys, or a function that gives them.

    `flag` replaces the option's spelling (`loss_temperature` is `--loss-temperature` by itself). A tuple is written as
    a comma list, on the command line also as the option repeated; with `repeat` commas belong to the values.
    """
    metadata = {"help": help, "choices": choices, "flag": flag, "repeat": repeat}
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class Config:
    """Base of the stages' configs; raises `CamoeError` naming the field when a value does not fit."""

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for field in dataclasses.fields(self):
            value = _named(getattr(self, field.name), field, hints[field.name], field.name)
            object.__setattr__(self, field.name, value)
        self.check()

    def check(self) -> None:
        """Raise `CamoeError` for values that do not go together; for subclasses."""


ConfigType = TypeVar("ConfigType", bound=Config)


def option_name(field: dataclasses.Field) -> str:
    return field.metadata.get("flag") or "--" + field.name.replace("_", "-")


def choices_of(field: dataclasses.Field) -> tuple[str, ...] | None:
    choices = field.metadata.get("choices")
    return None if choices is None else tuple(choices() if callable(choices) else choices)


def load_config(
    config_class: type[ConfigType],
    path: str | PathLike[str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> ConfigType:
    """The config from its defaults, then the YAML file at `path`, then `overrides` (the command line)."""
    fields = {field.name: field for field in dataclasses.fields(config_class)}
    hints = get_type_hints(config_class)
    values: dict[str, Any] = {}
    for name, value in (read_yaml(path, fields) if path is not None else {}).items():
        values[name] = _named(value, fields[name], hints[name], f"{fspath(path or '')}: {name}")
    for name, value in (overrides or {}).items():
        if name not in fields:
            raise CamoeError(unknown_name(name, fields))
        values[name] = _named(value, fields[name], hints[name], option_name(fields[name]))
    for name, field in fields.items():
        if name not in values and field.default is dataclasses.MISSING:
            raise CamoeError(f"{option_name(field)} is missing: {field.metadata['help']}")
    with spelled_as_given(config_class, path, overrides):
        return config_class(**values)


@contextmanager
def spelled_as_given(
    config_class: type[Config], path: str | PathLike[str] | None, overrides: Mapping[str, Any] | None
) -> Iterator[None]:
    """Within it a `SettingError` names settings as the user gave them: in the file at `path`, or as options."""
    try:
        yield
    except SettingError as error:
        fields = {field.name: field for field in dataclasses.fields(config_class)}
        written = set(read_yaml(path, fields) if path is not None else ()) - set(overrides or ())
        names = {name: name if name in written else option_name(field) for name, field in fields.items()}
        where = f"{fspath(path or '')}: " if written.intersection(error.settings) else ""
        raise CamoeError(where + error.spelled(lambda name: names.get(name, name))) from None


def read_yaml(path: str | PathLike[str], known: Iterable[str]) -> dict[str, Any]:
    """The mapping in a YAML file, its keys checked against the `known` names."""
    try:
        with open_regular(path) as stream:
            content = load_yaml(stream.read(4 * MAX_CHARACTERS).decode("utf-8")[: MAX_CHARACTERS + 1])
    except UnicodeDecodeError:
        raise CamoeError(f"{fspath(path)} is {file_kind(path) or 'no text'}, and not a YAML file") from None
    except OSError as error:
        raise CamoeError(f"{fspath(path)} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise CamoeError(f"{fspath(path)} is not valid YAML: {' '.join(str(error).split())}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise CamoeError(f"{fspath(path)} holds no settings; a YAML file of settings has lines such as `seed: 0`")
    for name in content:
        if name not in known:
            raise CamoeError(f"{fspath(path)}: {unknown_name(name, known)}")
    return content


def unknown_name(name: object, known: Iterable[str], what: str = "setting") -> str:
    """`there is no setting 'loss_temprature'; did you mean 'loss_temperature'?`"""
    names = list(known)
    near = nearest_name(str(name), names)
    hint = f"did you mean {near!r}?" if near else f"there are {', '.join(names)}"
    return f"there is no {what} {str(name)[:80]!r}; {hint}"


def nearest_name(name: str, known: Iterable[str]) -> str | None:
    """Which of the names is meant: `lr` is `learning_rate`, `epoch` is `epochs`, `temperture` is `temperature`."""
    said = "".join(_parts(name))
    names = list(known)
    if len(said) > 1:
        for other in names:
            parts = _parts(other)
            if said in ("".join(parts), "".join(part[0] for part in parts)):
                return other
        for other in names:
            if "".join(_parts(other)).startswith(said):
                return other
    return _closest(name, names)


def _closest(name: str, names: Sequence[str]) -> str | None:
    """The name that shares most letters; of several, the one whose length is nearest: `dls` is `dsl`, not `dualis`."""
    near = [one for one in get_close_matches(name, names, n=3) if abs(len(one) - len(name)) <= _most_apart(one, name)]
    return min(
        near, key=lambda one: (-SequenceMatcher(None, one, name).ratio(), abs(len(one) - len(name))), default=None
    )


def _most_apart(one: str, other: str) -> int:
    """How much two lengths may differ: `nonsense` is no slip of the hand for `none`."""
    return max(2, min(len(one), len(other)) // 2)


def _parts(name: str) -> list[str]:
    return [part for part in name.lower().replace("-", "_").split("_") if part]


def dump_config(config: Config) -> str:
    """YAML that `load_config` reads back to an equal config."""
    return yaml.safe_dump(_plain(dataclasses.asdict(config)), sort_keys=False)


def convert(value: Any, field: dataclasses.Field, hint: Any) -> Any:
    """`value` as the type `hint` of the field, one of its choices; ValueError says `must be …, not …`."""
    inner = [option for option in get_args(hint) if option not in (NoneType, ...)]
    if NoneType in get_args(hint):
        return None if value in (None, "none") else convert(value, field, inner[0])
    if get_origin(hint) is tuple:
        if isinstance(value, str) and not field.metadata.get("repeat"):
            value = [part.strip() for part in value.split(",") if part.strip()]
        parts = value if isinstance(value, (list, tuple)) else [value]
        return tuple(convert(part, field, inner[0]) for part in parts)
    converted = _scalar(value, hint)
    choices = choices_of(field)
    if choices is not None and converted not in choices:
        near = _closest(str(converted), choices)
        remedy = f"; did you mean {near!r}?" if near else ""
        raise ValueError(f"must be one of {', '.join(choices)}, not {converted!r}{remedy}")
    return converted


def _scalar(value: Any, hint: type) -> Any:
    if hint is bool:
        if isinstance(value, bool):
            return value
        raise ValueError(f"must be true or false, not {reprlib.repr(value)}")
    if hint in (int, float) and not isinstance(value, bool):
        try:
            number = hint(value) if isinstance(value, (int, str, hint)) else None
        except (ValueError, OverflowError):
            number = None
        if number is not None and not math.isnan(number):
            return number
    if hint is str and isinstance(value, (str, PathLike)):
        return fspath(value)
    if hint is Path and isinstance(value, (str, PathLike)):
        return Path(value)
    raise ValueError(f"must be {KIND[hint]}, not {reprlib.repr(value)}")


def _named(value: Any, field: dataclasses.Field, hint: Any, name: str) -> Any:
    try:
        return convert(value, field, hint)
    except ValueError as error:
        raise CamoeError(f"{name} {error}") from None


def _plain(value: Any) -> Any:
    """Only what YAML writes without tags."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return fspath(value) if isinstance(value, PathLike) else value
