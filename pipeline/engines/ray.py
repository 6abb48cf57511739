"""Workers on the nodes of a Ray cluster: each lives in an actor, a GPU or a node, and is handed one task at a time.

A worker that was killed is started again by Ray, with the task that it had; the task of a node that is lost goes to
another node. Nodes that join while it runs are given work. Ray ends the actors of a driver that was killed.
"""

from __future__ import annotations

import os
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import CamoeError, RunStoppedError
from ..extras import needs_extra
from ..wording import counted
from . import Engine, Event, Share, Task, Wanted, Worker

HERE = "local"
"""The address that stands for a cluster of this machine alone, which ends with the engine."""
_RETRIES = 2
"""How often Ray does a task again whose worker died."""
_TRIES = 3
"""How many workers, each with its retries, may be lost to one task, or in being made on one node."""
_LOOK_S = 2.0
"""Between looks for nodes that have joined."""
_KNOCK_S = 10
"""For a cluster's address to take a connection."""


class RayEngine(Engine):
    """The engine of a cluster; `close` leaves it."""

    def __init__(
        self, address: str = "auto", share: Share | None = None, tell: Callable[[str], None] = lambda line: None
    ) -> None:
        """Join the cluster at `address` (`auto`: the one that this machine belongs to); `tell` hears of nodes.

        `share.gpus` 0 leaves GPUs aside. Raises `CamoeError` where Ray is not installed or there is no such cluster.
        """
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        with needs_extra("ray", "--engine ray"):
            import ray
        self._ray, self._share, self._tell = ray, share or Share(), tell
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        if address == HERE:
            options["include_dashboard"] = False
        try:
            _knock(address)
            ray.init(address=address, **options)
        except (OSError, RuntimeError, ValueError) as error:
            raise CamoeError(
                f"no Ray cluster answers at --ray-address {address} ({_first_line(error)}); start one with `ray start "
                f"--head`, or use this machine alone with --ray-address {HERE}"
            ) from None
        with suppress(AttributeError):  # a lost node's whole log on the terminal; the logs on disk have it
            ray._private.worker._worker_logs_enabled = False

    @classmethod
    def open(cls, wanted: Wanted) -> RayEngine:
        """The engine of the cluster at the address that is wanted."""
        return cls(wanted.address, wanted.share, wanted.tell)

    def close(self) -> None:
        """Leave the cluster."""
        self._ray.shutdown()

    def room(self) -> int:
        """How many workers the cluster's nodes take now, at least one."""
        return max(1, sum(room for _, room, _ in rooms(self._ray, self._share)))

    def send(self, path: Path) -> Callable[[], np.ndarray]:
        """What gives the file's bytes to a worker: they go to a node at most once, and only where asked for."""
        return _Sent(self._ray.put(np.fromfile(path, np.uint8)))

    def run(
        self,
        make_worker: Callable[[], Worker[Task, Event]],
        tasks: Sequence[Task],
        lost: Callable[[Task, str], Iterable[Event]] | None = None,
    ) -> Generator[Event, None, None]:
        """The events of each task when it is done, so that one that is done again is told of once.

        `lost` makes the events of a task whose workers died again and again; without it, that is a `RunStoppedError`.
        """
        if not tasks:
            return
        crew = _Crew(self._ray, self._share, self._tell, make_worker)
        waiting, tries = deque(range(len(tasks))), Counter[int]()
        try:
            while waiting or crew.busy:
                crew.grow(len(waiting) + crew.busy)
                while waiting and (seat := crew.free()) is not None:
                    number = waiting.popleft()
                    seat.give(number, tasks[number])
                for seat, outcome in crew.outcomes():
                    if not isinstance(outcome, Exception):
                        yield from outcome
                        continue
                    done_again = crew.dismiss(seat, outcome)
                    if done_again is None:
                        continue
                    tries[done_again] += 1
                    if tries[done_again] < _TRIES:
                        waiting.appendleft(done_again)
                        continue
                    reason = f"its workers died {tries[done_again]} times ({_first_line(outcome)})"
                    if lost is None:
                        raise RunStoppedError(f"task {done_again} of {len(tasks)} cannot be done: {reason}")
                    yield from lost(tasks[done_again], reason)
        except self._ray.exceptions.LocalRayletDiedError as error:
            raise RunStoppedError(f"this machine's part of the Ray cluster has died: {_first_line(error)}") from None
        finally:
            crew.end()


def rooms(ray: Any, share: Share) -> list[tuple[dict[str, Any], int, dict[str, float]]]:
    """The nodes that live, how many workers each takes, and what a worker needs of it; GPUs alone, where there are."""
    nodes = [node for node in ray.nodes() if node["Alive"]]
    with_gpu = [node for node in nodes if node["Resources"].get("GPU", 0)] if share.gpus else []
    if with_gpu:
        needs = {"num_gpus": share.gpus, "num_cpus": 0.0}
        return [(node, int(node["Resources"]["GPU"] / share.gpus + 1e-6), needs) for node in with_gpu]
    found = []
    for node in nodes:
        cpus = int(node["Resources"].get("CPU", 0))
        each = share.cpus or cpus
        found.append((node, cpus // each if each else 0, {"num_cpus": float(each)}))
    return found


class _Holder:
    """In an actor: holds a worker, which is made when first asked for.

    What makes it is pickled. As an argument it would hold a reference to what was sent, and Ray warns on the terminal
    that an actor with one cannot be started again once that is lost; but the driver has it, and without a driver no
    actor is started.
    """

    def __init__(self, make_worker: bytes) -> None:
        self._make = make_worker
        self._worker: Worker | None = None

    def wake(self) -> CamoeError | None:
        """Make the worker."""
        from ray import cloudpickle

        try:
            self._worker = self._worker or cloudpickle.loads(self._make)()
        except CamoeError as error:
            return _of_this_node(error)
        return None

    def do(self, task: Any) -> list[Any] | CamoeError:
        """Everything that the worker tells of a task; what it refuses is returned, since Ray would wrap it."""
        if (refused := self.wake()) is not None:
            return refused
        assert self._worker is not None
        try:
            return list(self._worker.work([task]))
        except CamoeError as error:
            return _of_this_node(error)


def _of_this_node(error: CamoeError) -> CamoeError:
    return type(error)(f"node {socket.gethostname()}: {error}")


@dataclass
class _Seat:
    """An actor, and what it is at: a task by its number, or being made."""

    actor: Any
    node: str
    node_name: str
    ref: Any
    task: int | None = None

    def give(self, number: int, task: Any) -> None:
        self.task, self.ref = number, self.actor.do.remote(task)


@dataclass
class _Crew:
    """The actors of a run: as many as the nodes have room for, no more than there are tasks."""

    ray: Any
    share: Share
    tell: Callable[[str], None]
    make_worker: Callable[[], Worker]
    seats: list[_Seat] = field(default_factory=list)
    deaths: Counter[str] = field(default_factory=Counter)
    """Of actors that were being made, by node."""
    looked: float = -_LOOK_S
    told: str = ""

    @property
    def busy(self) -> int:
        """How many have a task."""
        return sum(seat.task is not None for seat in self.seats)

    def free(self) -> _Seat | None:
        """A worker that is made and has nothing to do."""
        return next((seat for seat in self.seats if seat.ref is None), None)

    def grow(self, wanted: int) -> None:
        """Seat workers on nodes that have room; looks at the cluster now and then."""
        if time.monotonic() < self.looked + _LOOK_S:
            return
        self.looked = time.monotonic()
        seated = Counter(seat.node for seat in self.seats)
        for node, room, needs in rooms(self.ray, self.share):
            if self.deaths[node["NodeID"]] >= _TRIES:
                continue
            for _ in range(min(room - seated[node["NodeID"]], wanted - len(self.seats))):
                self.seats.append(self._seat(node, needs))
        self._tell_of_nodes()

    def _seat(self, node: dict[str, Any], needs: dict[str, float]) -> _Seat:
        strategy = self.ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        options = {"max_restarts": -1, "max_task_retries": _RETRIES, "scheduling_strategy": strategy, **needs}
        actor = self.ray.remote(**options)(_Holder).remote(self.ray.cloudpickle.dumps(self.make_worker))
        return _Seat(actor, node["NodeID"], node["NodeManagerAddress"], actor.wake.remote())

    def _tell_of_nodes(self) -> None:
        nodes = len({seat.node for seat in self.seats})
        line = f"ray: {counted(len(self.seats), 'worker')} on {counted(nodes, 'node')}"
        if not nodes:
            if any(count >= _TRIES for count in self.deaths.values()):
                raise RunStoppedError("no node of the Ray cluster can make a worker: they die; see Ray's logs")
            line = "ray: no node has room; waiting for one"
        if line != self.told:
            self.told = line
            self.tell(line)

    def outcomes(self) -> list[tuple[_Seat, Any]]:
        """Seats that have ended what they were at, with the events of a task, or the error by which they were lost.

        Raises what a worker raised.
        """
        by_ref = {seat.ref: seat for seat in self.seats if seat.ref is not None}
        if not by_ref:
            time.sleep(_LOOK_S / 4)
            return []
        ready, _ = self.ray.wait(list(by_ref), timeout=_LOOK_S)
        return [(by_ref[ref], self._outcome(by_ref[ref])) for ref in ready]

    def _outcome(self, seat: _Seat) -> Any:
        errors = self.ray.exceptions
        try:
            told = self.ray.get(seat.ref)
        except (errors.RayTaskError, errors.LocalRayletDiedError):
            raise
        except errors.RayError as error:
            return error
        if isinstance(told, CamoeError):
            raise told
        seat.task = seat.ref = None
        return told or []

    def dismiss(self, seat: _Seat, error: Exception) -> int | None:
        """Give up a worker; returns the task that it had."""
        self.tell(f"ray: a worker on {seat.node_name} is lost ({_first_line(error)})")
        if seat.task is None:
            self.deaths[seat.node] += 1
        self.seats.remove(seat)
        with suppress(self.ray.exceptions.RayError):
            self.ray.kill(seat.actor)
        return seat.task

    def end(self) -> None:
        """No worker is left."""
        for seat in self.seats:
            with suppress(self.ray.exceptions.RayError):
                self.ray.kill(seat.actor)


@dataclass(frozen=True)
class _Sent:
    """Bytes in the cluster's object store."""

    ref: Any

    def __call__(self) -> np.ndarray:
        import ray

        content: np.ndarray = ray.get(self.ref)
        return content


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def _knock(address: str) -> None:
    """Raises `OSError` where nothing listens at HOST:PORT; Ray would try for minutes."""
    host, _, port = address.rpartition(":")
    if host and port.isdecimal() and int(port) < 1 << 16 and not set(host) & set("/:"):
        socket.create_connection((host, int(port)), _KNOCK_S).close()
