"""Features that are not on the device: float16, in host memory or in the store's files, fetched row by row."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from math import prod
from typing import Protocol, TypeVar

import numpy as np
import torch

_PIECE = 1 << 22
"""Numbers that are fetched at a time where many rows are wanted."""

Item = TypeVar("Item")
Result = TypeVar("Result")


class Rows(Protocol):
    """Where rows come from: `rows[numbers (B,)]` are `(B, …)` float16, as the encoder gave them."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, rows: np.ndarray) -> np.ndarray: ...


class HeldRows:
    """Rows of an array in host memory."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values
        self.shape: tuple[int, ...] = values.shape

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        return self.values.take(rows, axis=0)


class HeldPieces:
    """Pieces of an array in host memory: piece `u` has the rows `offsets[u]` to `offsets[u + 1]`."""

    def __init__(self, values: np.ndarray, offsets: np.ndarray) -> None:
        self.values, self.offsets = values, offsets
        self.shape: tuple[int, ...] = values.shape

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        return self.values.take(rows_of_pieces(self.offsets, rows), axis=0)


def rows_of_pieces(offsets: np.ndarray, pieces: np.ndarray) -> np.ndarray:
    """The rows of some pieces, one piece after another."""
    start, counts = offsets[pieces], np.diff(offsets)[pieces]
    ends = counts.cumsum()
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) + np.repeat(start - ends + counts, counts)


@dataclass(frozen=True)
class Kept:
    """Vectors of a store that come to the `device` when they are asked for; `raw` as in `load_features`."""

    rows: Rows
    device: torch.device
    raw: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        return self.rows.shape

    def take(self, rows: torch.Tensor) -> torch.Tensor:
        """Some rows `(B, …)` float32 on the device, bit for bit what would lie there were all of them on it."""
        found = torch.empty(len(rows), *self.shape[1:], device=self.device)
        start = 0
        for part in rows.split(max(1, _PIECE // prod(self.shape[1:]))):
            found[start : start + len(part)] = self._finished(part)
            start += len(part)
        return found

    def finish(self, values: torch.Tensor) -> torch.Tensor:
        """Fetched float16 rows as `take` gives them."""
        return finished(values, raw=self.raw)

    def _finished(self, rows: torch.Tensor) -> torch.Tensor:
        return self.finish(self._fetched(rows))

    def _fetched(self, rows: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(self.rows[rows.cpu().numpy()]).to(self.device)


@dataclass(frozen=True)
class KeptFrames(Kept):
    """Frames `(N, T, D)` with their `mask (N, T)`; `order (N, T)` permutes each video's, where they are shuffled."""

    mask: torch.Tensor = torch.empty(0)
    order: torch.Tensor | None = None

    def _finished(self, rows: torch.Tensor) -> torch.Tensor:
        return self.finish_frames(self._fetched(rows), rows)

    def finish_frames(self, values: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Fetched frames of the videos `rows`: padding zero, frames in their order."""
        frames = self.finish(values).mul_(self.mask[rows].unsqueeze(-1))
        return frames if self.order is None else in_order(frames, self.order[rows])

    def ordered(self, order: torch.Tensor) -> KeptFrames:
        return replace(self, order=order)


def finished(values: torch.Tensor, *, raw: bool) -> torch.Tensor:
    """float32 vectors, of norm 1 or zero unless `raw`; in place, as fresh memory takes longer than the arithmetic."""
    vectors = values.to(torch.float32, copy=True)
    if raw:
        return vectors
    return vectors.div_(torch.linalg.vector_norm(vectors, dim=-1, keepdim=True).clamp_min_(1e-12))


def in_order(frames: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
    """`frames (B, T, D)`, each video's permuted by `order (B, T)`."""
    return frames.gather(1, order.unsqueeze(-1).expand_as(frames))


class Carrier:
    """Brings arrays to a device; to a GPU beside what it computes, from pinned memory on a stream of its own."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def carry(self, arrays: list[np.ndarray]) -> Carried:
        """Send them on their way."""
        tensors = [torch.from_numpy(array) for array in arrays]
        if self.stream is None:
            return Carried(tensors)
        with torch.cuda.stream(self.stream):
            sent = [tensor.pin_memory().to(self.device, non_blocking=True) for tensor in tensors]
            return Carried(sent, self.stream.record_event())


@dataclass(frozen=True)
class Carried:
    """What a carrier has sent: `arrived` makes the device's work that follows wait for it, and the host for nothing."""

    tensors: list[torch.Tensor]
    event: torch.cuda.Event | None = None

    def arrived(self) -> list[torch.Tensor]:
        if self.event is not None:
            current = torch.cuda.current_stream(self.tensors[0].device)
            current.wait_event(self.event)
            for tensor in self.tensors:
                tensor.record_stream(current)
        return self.tensors


def ahead(work: Callable[[Item], Result], items: Iterable[Item], *, count: int = 2) -> Iterator[Result]:
    """`work(item)` of every item in order, by a thread that is up to `count` items ahead."""
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(1, "ahead") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > count:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for left in waiting:
                left.cancel()
