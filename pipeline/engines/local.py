"""Everything in this process, by one worker that keeps itself busy across tasks."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

from . import Event, Task, Worker


class LocalEngine:
    """The engine of one machine."""

    def run(
        self, make_worker: Callable[[], Worker[Task, Event]], tasks: Sequence[Task]
    ) -> Generator[Event, None, None]:
        """The events of one worker that is made here; none is made where there is nothing to do."""
        if tasks:
            yield from make_worker().work(tasks)
