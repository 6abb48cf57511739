"""Grids: a YAML file as tables of cells.

title: How the experts are mixed
base: {aggregator: attention}                     # of every cell
grid: {gate: [none, single, full], loss: [ce, dsl]}   # every combination is a cell
include: [{model: meanp, label: mean pooling}]    # further cells; those above `grid` come first
exclude: [{gate: none, loss: dsl}]                # combinations to leave out
seeds: [0, 1, 2]                                  # every cell is trained with each
parts: [gate, my-grid.yaml]                       # instead of grid and include: other grids as tables of one sweep
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, get_origin, get_type_hints

from ...pipeline.config import convert, read_yaml, unknown_name
from ...pipeline.errors import CamoeError
from ...train.names import MODELS
from .settings import BY_THE_SWEEP, NAMES, CellConfig, identity, idle

KEYS = ("title", "base", "grid", "include", "exclude", "seeds", "parts")
SEARCH_KEYS = ("search", "trials", "trial_seeds", "sampler", "sampler_seed", "pruner", "objective")
"""What files of searches hold beside those of grids."""
FOLDERS = {"grid": "grids", "search": "searches"}
"""Where the package keeps its files of each kind."""
LABEL = "label"
MOST_CELLS = 10_000
LONGEST_NAME = 200
FIELDS = {item.name: item for item in fields(CellConfig)}
HINTS = get_type_hints(CellConfig)
Values = dict[str, Any]


@dataclass(frozen=True)
class Cell:
    """One row of a table: settings without a seed. `own` is what it sets over the base, `idle` what changes nothing."""

    config: CellConfig
    own: Values
    label: str | None = None

    @property
    def name(self) -> str:
        """`gate=full, loss=ce`, or its label."""
        return self.label or ", ".join(f"{name}={shown(value)}" for name, value in self.own.items()) or "base"

    @property
    def identity(self) -> str:
        """The same for cells that give the same numbers."""
        return str((identity(self.config), self.config.reranking))

    def value(self, name: str) -> str:
        """A setting for the eye; `–` where it changes nothing here."""
        return "–" if name in idle(self.config) else shown(getattr(self.config, name))

    def reads(self, name: str, values: Iterable[Any]) -> bool:
        """Whether a setting would change something here, if it had one of these values."""
        for value in values:
            with suppress(CamoeError):  # refused as without effect, or beside others
                if name not in idle(replace(self.config, **{name: value})):
                    return True
        return False

    def trainings(self, seeds: Sequence[int]) -> list[CellConfig]:
        """The cell with each seed; once where nothing is drawn."""
        if "seed" in idle(self.config):
            seeds = seeds[:1]
        return [replace(self.config, seed=seed) for seed in seeds]


@dataclass(frozen=True)
class Table:
    """Cells that are compared with each other, the first being what the others are held against."""

    name: str
    title: str
    cells: list[Cell]
    axes: dict[str, list[Any]] = field(default_factory=dict)
    """The grid's settings with more than one value."""
    doubles: int = 0
    """Cells left out because they are another one with settings that change nothing."""

    @property
    def columns(self) -> list[str]:
        """The settings that its cells set over the base and that differ between them."""
        own = {name for cell in self.cells for name in cell.own}
        return [name for name in NAMES if name in own and len({cell.value(name) for cell in self.cells}) > 1]


@dataclass(frozen=True)
class Sweep:
    """All tables of a grid, and the seeds that every cell is trained with."""

    name: str
    tables: list[Table]
    seeds: tuple[int, ...]

    @property
    def cells(self) -> list[Cell]:
        """Each cell once, whatever the tables that show it."""
        found: dict[str, Cell] = {}
        for table in self.tables:
            for cell in table.cells:
                found.setdefault(cell.identity, cell)
        return list(found.values())


def shipped(kind: str = "grid") -> list[str]:
    """Names of the grids, or of the files of another kind, in the package."""
    return sorted(path.stem for path in _folder(kind).iterdir())


def read_grid(grid: str, features: Sequence[str], seeds: Sequence[int] = (), base: Values | None = None) -> Sweep:
    """The sweep that a shipped grid's name, or a YAML file, describes on a store.

    `seeds` and `base`, where given, win over the file's. Raises `CamoeError` for an unknown name or value, with the
    nearest one, and for settings that do not go together.
    """
    path = find_file(grid)
    return sweep_of(path, read_content(path), features, seeds, base)


def sweep_of(
    path: Path,
    content: Mapping[str, Any],
    features: Sequence[str],
    seeds: Sequence[int] = (),
    base: Values | None = None,
) -> Sweep:
    """`read_grid` of what the file at `path` holds."""
    given = tuple(seeds) or seeds_of(content.get("seeds", [0]), f"{path}: seeds")
    return Sweep(path.stem, list(_tables(path, content, tuple(features), base or {}, ())), given)


def read_content(path: Path, kind: str = "grid") -> dict[str, Any]:
    """What the file of a grid or of a search holds."""
    try:
        content = read_yaml(path, (*KEYS, *SEARCH_KEYS))
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, brackets thousands deep
        reason = " ".join(str(error).split())
        raise CamoeError(f"{path} cannot be read as a {kind}: {reason}") from None
    if kind == "grid" and (found := [key for key in SEARCH_KEYS if key in content]):
        raise CamoeError(f"{path} holds {found[0]}, as searches do; give it as --search {path}, or leave that out")
    return content


def find_file(name: str, kind: str = "grid", beside: Path | None = None) -> Path:
    """The file of a shipped grid's name, or at that path; raises `CamoeError` with the nearest name."""
    names = shipped(kind)
    if name in names:
        return _folder(kind) / f"{name}.yaml"
    path = (beside or Path()) / name
    if path.is_file():
        return path
    for other in FOLDERS.keys() - {kind} if beside is None else ():
        if name in shipped(other):
            raise CamoeError(f"{name} is a {other}, not a {kind}; give it as --{other} {name}")
    if path.suffix in (".yaml", ".yml"):
        raise CamoeError(f"there is no {kind} file {path}; give one, or one of {', '.join(names)}")
    raise CamoeError(f"{unknown_name(name, names, kind)}; a file's name ends in .yaml")


def _folder(kind: str) -> Path:
    return Path(str(files(__package__) / FOLDERS[kind]))


def _tables(
    path: Path, content: Mapping[str, Any], features: tuple[str, ...], over: Values, within: tuple[Path, ...]
) -> Iterable[Table]:
    base = values_of(content.get("base") or {}, f"{path}: base") | over
    if "parts" not in content:
        yield _table(path, content, base, features)
        return
    beside = [key for key in ("grid", "include", "exclude") if key in content]
    if beside or not isinstance(content["parts"], list) or not content["parts"]:
        raise CamoeError(f"{path}: parts is a list of grids, without grid, include and exclude beside it")
    for name in content["parts"]:
        part = find_file(str(name), beside=path.parent)
        if part in (*within, path):
            raise CamoeError(f"{path}: part {name} contains itself; leave it out")
        yield from _tables(part, read_content(part), features, base, (*within, path))


def _table(path: Path, content: Mapping[str, Any], base: Values, features: tuple[str, ...]) -> Table:
    if len(os.fsencode(path.stem)) > LONGEST_NAME:
        raise CamoeError(f"{path}: pictures are named after the file; give it a name of at most {LONGEST_NAME} bytes")
    axes = _axes(content.get("grid") or {}, path)
    cells: list[Cell] = []
    for key in content:
        if key == "grid" and axes:
            if (count := math.prod(map(len, axes.values()))) > MOST_CELLS:
                raise CamoeError(f"{path}: grid makes {count} combinations; more than {MOST_CELLS} are no table")
            combinations = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
            kept = _without(combinations, content.get("exclude") or [], base, path)
            cells += [_cell(own, None, base, features, path) for own in kept]
        if key == "include":
            cells += [_cell(own, label, base, features, path) for own, label in _included(content[key], path)]
    if not cells:
        raise CamoeError(f"{path} holds no cells; give it grid: {{gate: [none, single]}}, include or parts")
    distinct: dict[str, Cell] = {}
    for cell in cells:
        distinct.setdefault(cell.identity, cell)
    return Table(
        name=path.stem,
        title=one_line(content.get("title")) or path.stem,
        cells=list(distinct.values()),
        axes={name: values for name, values in axes.items() if len(values) > 1},
        doubles=len(cells) - len(distinct),
    )


def _cell(own: Values, label: str | None, base: Values, features: tuple[str, ...], path: Path) -> Cell:
    """Settings of the base that this cell's model does not read are dropped, its own ones are checked."""
    model = str((base | own).get("model", FIELDS["model"].default))
    unread = [name for name in (MODELS[model].ignores if model in MODELS else ()) if name not in own]
    values = {name: value for name, value in base.items() if name not in unread} | own
    cell = label or ", ".join(f"{name}={shown(value)}" for name, value in own.items())
    try:
        return Cell(CellConfig(features=features, **values), own, label)
    except CamoeError as error:
        raise CamoeError(f"{path}: cell {cell}: {error}; or leave the cell out by a line under exclude") from None


def _axes(grid: Any, path: Path) -> dict[str, list[Any]]:
    if not isinstance(grid, Mapping):
        raise CamoeError(f"{path}: grid holds `name: [values]` lines, not {grid!r}")
    axes = {}
    for name, values in grid.items():
        check_name(name, f"{path}: grid")
        if not isinstance(values, list) or not values:
            raise CamoeError(
                f"{path}: grid: {name} is a list of values, as {name}: [{shown(values)}]; one goes to base"
            )
        axes[name] = list(dict.fromkeys(value_of(name, value, f"{path}: grid") for value in values))
    return axes


def _included(entries: Any, path: Path) -> Iterable[tuple[Values, str | None]]:
    for number, entry in enumerate(_rules(entries, "include", path), start=1):
        label = one_line(entry.pop(LABEL, None)) or None
        yield values_of(entry, f"{path}: include {number}"), label


def _without(combinations: list[Values], rules: Any, base: Values, path: Path) -> list[Values]:
    """What no rule names; a rule that names nothing is a mistake."""
    for number, rule in enumerate(_rules(rules, "exclude", path), start=1):
        where = f"{path}: exclude {number}"
        wanted = {name: _alternatives(name, value, where) for name, value in rule.items()}
        kept = [own for own in combinations if not _matches(base | own, wanted)]
        if len(kept) == len(combinations):
            raise CamoeError(f"{where} matches no cell of the grid; correct it or leave it out")
        combinations = kept
    return combinations


def _matches(values: Values, wanted: dict[str, list[Any]]) -> bool:
    return all(values.get(name, FIELDS[name].default) in options for name, options in wanted.items())


def _alternatives(name: str, value: Any, where: str) -> list[Any]:
    """A list stands for any of its values, but for settings that are lists themselves."""
    check_name(name, where)
    several = isinstance(value, list) and get_origin(HINTS[name]) is not tuple
    return [value_of(name, option, where) for option in (value if several else [value])]


def _rules(entries: Any, key: str, path: Path) -> list[Values]:
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) and entry for entry in entries):
        raise CamoeError(f"{path}: {key} is a list of settings, as {key}: [{{gate: none, loss: dsl}}]")
    return [dict(entry) for entry in entries]


def values_of(given: Any, where: str) -> Values:
    """Settings by name, each checked; raises `CamoeError` beginning with `where`."""
    if not isinstance(given, Mapping):
        raise CamoeError(f"{where} holds `name: value` lines, not {given!r}")
    for name in given:
        check_name(name, where)
    return {name: value_of(name, value, where) for name, value in given.items()}


def check_name(name: Any, where: str) -> None:
    """Raise `CamoeError` for what is no setting of a cell, with the nearest that is."""
    if name in BY_THE_SWEEP:
        raise CamoeError(f"{where} cannot hold {name}: {BY_THE_SWEEP[name]}")
    if name not in NAMES:
        raise CamoeError(f"{where}: {unknown_name(name, NAMES)}")


def value_of(name: str, value: Any, where: str) -> Any:
    """A setting's value in its type; raises `CamoeError` where it does not fit."""
    try:
        return convert(value, FIELDS[name], HINTS[name])
    except ValueError as error:
        raise CamoeError(f"{where}: {name} {error}") from None


def seeds_of(seeds: Any, where: str) -> tuple[int, ...]:
    """Different whole numbers from 0; raises `CamoeError` beginning with `where`, the file and the key."""
    sound = isinstance(seeds, list) and seeds and all(type(seed) is int and 0 <= seed < 2**63 for seed in seeds)
    if not sound or len(set(seeds)) < len(seeds):
        raise CamoeError(f"{where} is a list of different whole numbers from 0, as [0, 1], not {seeds!r}")
    return tuple(seeds)


def one_line(text: Any) -> str:
    """A text for a heading or a cell of a table."""
    return " ".join(str("" if text is None else text).split())


def shown(value: Any) -> str:
    """A value as one would type it."""
    if isinstance(value, (tuple, list)):
        return "+".join(map(shown, value)) or "none"
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
