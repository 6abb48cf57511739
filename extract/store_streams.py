"""The streams of an extraction into a store that has some already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..pipeline.errors import CamoeError
from ..pipeline.store.schema import FUSION
from .streams import describe_streams, parse_streams

_IMPORTED = "imported"


def streams_beside(specs: Sequence[str], there: Mapping[str, str] | None) -> dict[str, str]:
    """The streams that are asked for by `NAME=…`, those that the store defines, and the defaults, in this order.

    Raises `CamoeError` for a list of words that the store was made with and that cannot be found again.
    """
    streams = parse_streams(specs)
    asked = {spec.partition("=")[0].strip() for spec in specs} | {FUSION}
    for name, definition in (there or {}).items():
        if name not in asked and definition != _IMPORTED:
            streams[name] = _definition(name, definition)
    return streams


def _definition(name: str, described: str) -> str:
    """What `describe_streams` made the description of; a list of words is looked for among the shipped ones."""
    if not described.startswith("@"):
        return described
    shipped = described.partition(" ")[0].removesuffix(".txt")
    try:
        if describe_streams({name: shipped})[name] == described:
            return shipped
    except CamoeError:
        pass
    raise CamoeError(
        f"the store's stream {name} is made from a list of words, {described}; name that file with "
        f"--stream {name}=@FILE.txt"
    )
