"""Everything in this process, by one worker that keeps itself busy across tasks."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from typing import ClassVar

from . import Engine, Event, Task, Worker


class LocalEngine(Engine):
    """The engine of one machine."""

    in_process: ClassVar[bool] = True

    def run(
        self,
        make_worker: Callable[[], Worker[Task, Event]],
        tasks: Sequence[Task],
        lost: Callable[[Task, str], Iterable[Event]] | None = None,
    ) -> Generator[Event, None, None]:
        """The events of one worker that is made here, and none is made where there is nothing to do.

        No task is lost without this process.
        """
        if tasks:
            yield from make_worker().work(tasks)
