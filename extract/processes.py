"""Work spread over processes."""

from __future__ import annotations

import gc
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from ..pipeline.children import end_with_parent

Item = TypeVar("Item")
Result = TypeVar("Result")

_work: Callable[[Any], Any]


def in_processes(work: Callable[[Item], Result], items: Sequence[Item], workers: int) -> Iterator[Result]:
    """`map(work, items)`, in order, spread over forked processes where the system can fork.

    Forked children share what `work` refers to (a tagger's tables) without loading it again; they must run plain Python
    only, no threads of torch and no GPU.
    """
    workers = min(workers, len(items))
    if workers < 2 or "fork" not in multiprocessing.get_all_start_methods():
        yield from map(work, items)
        return
    with multiprocessing.get_context("fork").Pool(workers, _remember, (work,)) as pool:
        yield from pool.imap(_run, items)


def _remember(work: Callable[[Any], Any]) -> None:
    global _work
    _work = work
    gc.freeze()
    end_with_parent()


def _run(item: Any) -> Any:
    return _work(item)
