"""Where work is done: here, or elsewhere. A worker takes tasks; an engine decides in which processes workers live.

An engine is one file in this folder. It neither plans nor records: a task done is known by what it left (a shard, a
run folder), so a task may be given again after any mishap.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Protocol, TypeVar

LOCAL, RAY = "local", "ray"
ENGINES = (LOCAL, RAY)

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


class Engine(Protocol):
    """Runs workers. Tasks, events and what makes a worker are picklable."""

    def run(
        self, make_worker: Callable[[], Worker[Task, Event]], tasks: Sequence[Task]
    ) -> Generator[Event, None, None]:
        """The events of all tasks, as they come; a task whose worker died is given to another.

        Raises what a worker raises, and `RunStoppedError` where tasks cannot be done at all; however it ends, no
        worker is left.
        """
        ...
