"""Where work is done: here, or elsewhere. A worker takes tasks; an engine decides in which processes workers live.

An engine neither plans nor records: a task done is known by what it left (a shard, a run folder), so a task may be
given again after any mishap. An engine is a file of this folder and its entry in `_OURS`; `--engine` of every command
knows it from then on. An engine of another package needs no change here: an entry point of the group
`camoe.engines` names its class, and in a script `register_engine` does.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeVar

from ..errors import CamoeError

if TYPE_CHECKING:
    import numpy as np

Task = TypeVar("Task")
Event = TypeVar("Event")
Task_contra = TypeVar("Task_contra", contravariant=True)
Event_co = TypeVar("Event_co", covariant=True)


class Worker(Protocol[Task_contra, Event_co]):
    """Holds what is dear to load (an encoder, a store) and does one task after another."""

    def work(self, tasks: Iterable[Task_contra]) -> Iterator[Event_co]:
        """Do the tasks, and tell of them as it goes; a worker may begin the next ones before a first is done.

        When the iterator ends, all tasks are done. What would meet every task is raised; what a single one met is
        told.
        """
        ...


@dataclass(frozen=True)
class Share:
    """What a worker takes of a node: `gpus`, where a fraction shares one; without a GPU `cpus`, none: all there are."""

    gpus: float = 1.0
    cpus: int | None = None


@dataclass(frozen=True)
class Wanted:
    """What a command tells the engine that it opens: `address` is `--ray-address`, `tell` takes lines for people."""

    address: str = "auto"
    share: Share = Share()
    tell: Callable[[str], None] = lambda line: None


class Engine(ABC):
    """Runs workers. Tasks, events and what makes a worker are picklable."""

    in_process: ClassVar[bool] = False
    """Whether its one worker lives in this process, and so may use what is loaded here."""

    @classmethod
    def open(cls, wanted: Wanted) -> Engine:
        """The engine, ready to run; raises `CamoeError` where it cannot be had."""
        return cls()

    @abstractmethod
    def run(
        self,
        make_worker: Callable[[], Worker[Task, Event]],
        tasks: Sequence[Task],
        lost: Callable[[Task, str], Iterable[Event]] | None = None,
    ) -> Generator[Event, None, None]:
        """The events of all tasks, as they come; a task whose worker died is given to another.

        Tasks are looked up by their numbers, each when a worker is free for it: a search draws a trial only then, by
        the events that were yielded before.

        `lost` makes the events of a task, and of the reason, whose workers died again and again. Raises what a worker
        raises, and `RunStoppedError` where tasks cannot be done at all; however it ends, no worker is left.
        """

    def room(self) -> int:
        """How many workers there may be at once, so that work is cut into as many pieces."""
        return 1

    def send(self, path: Path) -> Callable[[], np.ndarray]:
        """What gives a file's bytes to a worker that does not have the file; called only then."""
        return _Seen(path.absolute())

    def close(self) -> None:  # noqa: B027  most have nothing to leave
        """Leave it."""


@dataclass(frozen=True)
class _Seen:
    """A file that is read where it lies."""

    path: Path

    def __call__(self) -> np.ndarray:
        import numpy as np

        try:
            return np.fromfile(self.path, np.uint8)
        except OSError:
            raise CamoeError(f"{self.path} is not there; give a file that all machines see") from None


LOCAL = "local"
ENTRY_POINTS = "camoe.engines"
"""Group of entry points by which another package adds an engine: each names a class."""

_OURS = {LOCAL: ".local:LocalEngine", "ray": ".ray:RayEngine"}
_REGISTERED: dict[str, type[Engine]] = {}


def register_engine(name: str, engine: type[Engine]) -> None:
    """Have `--engine NAME` open an engine of that class; raises `CamoeError` for a name that another has."""
    if name in _OURS or _REGISTERED.get(name, engine) is not engine:
        raise CamoeError(f"there is an engine {name!r} already; register yours under another name")
    _REGISTERED[name] = engine


def engine_names() -> tuple[str, ...]:
    """What `--engine` may be: ours, those registered, and those of other installed packages."""
    return tuple(dict.fromkeys([*_OURS, *_REGISTERED, *(point.name for point in entry_points(group=ENTRY_POINTS))]))


def open_engine(name: str, wanted: Wanted) -> Engine:
    """The engine of that name; raises `CamoeError` where there is none, or it cannot be had."""
    if name in _OURS:
        module, _, kind = _OURS[name].partition(":")
        engine: type[Engine] = getattr(import_module(module, __name__), kind)
    elif name in _REGISTERED:
        engine = _REGISTERED[name]
    else:
        engine = _installed(name)
    return engine.open(wanted)


def _installed(name: str) -> type[Engine]:
    for point in entry_points(group=ENTRY_POINTS, name=name):
        try:
            engine = point.load()
        except Exception as error:
            raise CamoeError(f"engine {name} ({point.value}) cannot be loaded: {error}") from None
        if not (isinstance(engine, type) and issubclass(engine, Engine)):
            raise CamoeError(f"engine {name} ({point.value}) is not a class made from camoe.pipeline.engines.Engine")
        return engine
    raise CamoeError(f"there is no engine {name!r}; there are {', '.join(engine_names())}")
