"""Files of searches: a grid's, whose every cell is tuned, with what is searched and how.

title: Learning rate and gate
base: {loss: dsl}                                          # as in a grid; grid, include and parts too
search:
  learning_rate: {low: 1.0e-4, high: 1.0e-2, log: true}
  epochs: {low: 8, high: 48}
  gate: [none, single, full]
trials: 20                                                 # of every cell
trial_seeds: [0]                                           # every trial is trained with each; none: the first of seeds
seeds: [0, 1, 2]                                           # what is chosen is trained with each
sampler: tpe
sampler_seed: 0
pruner: median
objective: R@1
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ....pipeline.config import unknown_name
from ....pipeline.errors import CamoeError
from ..config import SweepConfig
from ..grid import FIELDS, SEARCH_KEYS, Cell, Sweep, Values, find_file, read_content, seeds_of, sweep_of
from ..settings import idle
from .space import Choices, Space, corners, read_space

SAMPLERS = ("tpe", "random")
NO_PRUNER = "none"
PRUNERS: Mapping[str, Mapping[str, float]] = {
    NO_PRUNER: {},
    "median": {"startup_trials": 5, "warmup": 0.0},
    "percentile": {"percentile": 25.0, "startup_trials": 5, "warmup": 0.0},
}
"""Each pruner's options: `warmup` is the share of a training in which nothing is given up."""
OBJECTIVES = ("R@1", "t2v_R@1", "v2t_R@1")
"""What an epoch is measured by on val: the mean of both directions, which also chooses the epoch, or one of them."""
TUNED = "tuned"
"""The name of the only cell, where a file has no grid."""
MOST_TRIALS = 100_000


@dataclass(frozen=True)
class Pruner:
    """By which rule of `PRUNERS` a trial is given up."""

    name: str
    options: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Search:
    """A file of a search on a store. `sweep` holds its cells as they are before they are tuned."""

    sweep: Sweep
    space: Space
    trials: int
    trial_seeds: tuple[int, ...]
    sampler: str
    sampler_seed: int
    pruner: Pruner
    objective: str

    def space_of(self, cell: Cell) -> Space:
        """The part of the space that changes something in a cell: empty where nothing is trained."""
        facts = cell.config.facts
        if not facts.trains:
            return {}
        space = {name: dimension for name, dimension in self.space.items() if name not in facts.ignores}
        unread = space.keys() & idle(cell.config)
        for values in corners(space) if unread else ():  # as loss_temperature, unless the loss is searched too
            with suppress(CamoeError):  # of values that do not go together, which are refused by name
                unread &= idle(replace(cell.config, **values))
        return {name: dimension for name, dimension in space.items() if name not in unread}


def read_search(config: SweepConfig) -> Search:
    """The search that the config names; raises `CamoeError` naming file and key for what does not fit."""
    assert config.search is not None
    path = find_file(config.search, "search")
    content = read_content(path, "search")
    if "search" not in content:
        told = "search is missing, as search: {dropout: {low: 0, high: 0.4}}"
        raise CamoeError(f"{path}: {told}; give a file without it as --grid")
    if "trials" not in content:
        raise CamoeError(f"{path}: trials is missing, as trials: 20")
    space = read_space(content["search"], f"{path}: search")
    _refuse_fixed(space, content, config, path)
    own = {key: value for key, value in content.items() if key not in SEARCH_KEYS}
    if not own.keys() & {"grid", "include", "parts"}:
        own["include"] = [{"label": TUNED}]
    base = {} if config.epochs is None else {"epochs": config.epochs}
    sweep = sweep_of(path, own, config.features, config.seeds, base)
    sweep = replace(sweep, name=f"{sweep.name}-search")  # so that it has another folder than the grid of that name
    given = content.get("trial_seeds")
    search = Search(
        sweep=sweep,
        space=space,
        trials=_count(content.get("trials"), f"{path}: trials", least=1, most=MOST_TRIALS),
        trial_seeds=sweep.seeds[:1] if given is None else seeds_of(given, f"{path}: trial_seeds"),
        sampler=_one_of(content.get("sampler", "tpe"), SAMPLERS, f"{path}: sampler"),
        sampler_seed=_count(content.get("sampler_seed", 0), f"{path}: sampler_seed", least=0, most=2**63 - 1),
        pruner=_pruner(content.get("pruner", "median"), f"{path}: pruner"),
        objective=_objective(content.get("objective", "R@1"), f"{path}: objective"),
    )
    _check_cells(search, path)
    return search


def with_values(cell: Cell, values: Values) -> Cell:
    """The cell with further settings; raises `CamoeError` where they do not go together with its own."""
    return replace(cell, config=replace(cell.config, **values))


def _refuse_fixed(space: Space, content: Mapping[str, Any], config: SweepConfig, path: Path) -> None:
    """What is searched cannot be fixed as well."""
    fixed = content.get("base")
    for name in space:
        if isinstance(fixed, Mapping) and name in fixed:
            raise CamoeError(f"{path}: base fixes {name}, which search: {name} searches; leave one of them out")
    if "epochs" in space and config.epochs is not None:
        raise CamoeError(f"--epochs {config.epochs} has no effect, as {path} searches epochs; leave it out")


def _check_cells(search: Search, path: Path) -> None:
    """Every cell takes whatever the space holds: found before the first trial."""
    tuned = False
    for cell in search.sweep.cells:
        space = search.space_of(cell)
        tuned = tuned or bool(space)
        for name in space:
            if name in cell.own or getattr(cell.config, name) != FIELDS[name].default:  # as the base of a part does
                raise CamoeError(f"{path}: cell {cell.name} sets {name}, which search: {name} searches; leave one out")
        for values in corners(space) if space else ():
            try:
                with_values(cell, values)
            except CamoeError as error:
                told = ", ".join(f"{name}={value}" for name, value in values.items())
                raise CamoeError(f"{path}: search: cell {cell.name} with {told}: {error}") from None
    if not tuned:
        names = ", ".join(search.space)
        raise CamoeError(f"{path}: search: {names} changes nothing in any cell; search what its models read")


def _count(given: Any, where: str, *, least: int, most: int) -> int:
    if type(given) is not int or not least <= given <= most:
        raise CamoeError(f"{where} must be a whole number from {least} to {most}, not {given!r}")
    return given


def _one_of(given: Any, known: Sequence[str], where: str) -> str:
    if given not in known:
        what = where.rpartition(": ")[2]
        raise CamoeError(f"{where}: {unknown_name(given, known, what)}")
    return str(given)


def _pruner(given: Any, where: str) -> Pruner:
    named = dict(given) if isinstance(given, Mapping) else {"name": NO_PRUNER if given is None else given}
    name = _one_of(named.pop("name", None), tuple(PRUNERS), where)
    for key in named:
        if key not in PRUNERS[name]:
            raise CamoeError(f"{where}: {unknown_name(key, PRUNERS[name] or ('no options',), f'option of {name}')}")
    options: dict[str, Any] = {**PRUNERS[name], **named}
    if "startup_trials" in options:
        _count(options["startup_trials"], f"{where}: startup_trials", least=0, most=MOST_TRIALS)
    for key, most in (("warmup", 1), ("percentile", 100)):
        value = options.get(key, 0)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < most:
            raise CamoeError(f"{where}: {key} must be from 0 to below {most}, not {value!r}")
    return Pruner(name, options)


def _objective(given: Any, where: str) -> str:
    named = dict(given) if isinstance(given, Mapping) else {"metric": given}
    metric = _one_of(named.pop("metric", None), OBJECTIVES, where)
    direction = named.pop("direction", "maximize")
    if named:
        raise CamoeError(f"{where}: {unknown_name(next(iter(named)), ('metric', 'direction'), 'key')}")
    if direction != "maximize":
        raise CamoeError(f"{where}: direction must be maximize, as more of {metric} is better, not {direction!r}")
    return metric


def described(search: Search) -> dict[str, Any]:
    """What the trials depend on besides the cells, as JSON values; how many there are is no part of it."""
    space = {
        name: {"choices": list(map(str, dimension.values))} if isinstance(dimension, Choices) else vars(dimension)
        for name, dimension in search.space.items()
    }
    return {
        "space": space,
        "trial_seeds": list(search.trial_seeds),
        "sampler": f"{search.sampler} {search.sampler_seed}",
        "pruner": {"name": search.pruner.name, **search.pruner.options},
        "objective": search.objective,
    }
