"""Packages that only some commands need: an extra of `camoe` brings each, and its absence is told in one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .errors import CamoeError


@contextmanager
def needs_extra(extra: str, what: str) -> Iterator[None]:
    """Around imports: what is not installed is a `CamoeError` saying that `what` needs it and which `extra` has it.

    with needs_extra("faiss", "an index"):
        import faiss
    """
    try:
        yield
    except ImportError as error:
        name = (error.name or extra).partition(".")[0]
        if name == "camoe":  # a fault of ours
            raise
        raise CamoeError(f"{what} needs {name}, which is not installed; run: pip install 'camoe[{extra}]'") from None
