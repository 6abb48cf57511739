"""What several shards state about themselves, as the settings of one store, or a refusal where they contradict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

from .resolve import by_order
from .safe_open import StoreError
from .schema import StoreSettings, unite_precisions
from .shard import ShardIndex

_UNITED = ("strategies", "streams", "captions_sha256")
"""Settings of which shards hold parts; of the others, all shards that state one state the same."""


def united_settings(shards: Sequence[ShardIndex]) -> StoreSettings:
    """What the shards state together; a field is compared with the first shard that states it."""
    united = shards[0].settings
    stated: dict[str, Path] = {}
    for shard in shards:
        for item in fields(StoreSettings):
            if getattr(shard.settings, item.name) is not None:
                stated.setdefault(item.name, shard.path)
        differences = united.differences(shard.settings, ("in the first", "in the second"), ignore=_UNITED)
        if differences:
            first = stated[differences[0].split(" ", 1)[0]]
            raise StoreError(f"{first} and {shard.path} were made with different settings: {'; '.join(differences)}")
        united = _with_missing(united, shard.settings)
    latest = [shard.settings.captions_sha256 for shard in by_order(shards) if shard.settings.captions_sha256]
    return replace(united, captions_sha256=latest[-1]) if latest else united


def _with_missing(settings: StoreSettings, more: StoreSettings) -> StoreSettings:
    """`settings`, what it lacks from `more`, and the streams and strategies of both."""
    values = {item.name: getattr(settings, item.name) for item in fields(StoreSettings)}
    for name, value in values.items():
        if value is None:
            values[name] = getattr(more, name)
    if settings.streams is not None and more.streams is not None:
        for name in set(settings.streams) & set(more.streams):
            if settings.streams[name] != more.streams[name]:
                raise StoreError(
                    f"stream {name!r} means {settings.streams[name]} in one shard and {more.streams[name]} in another"
                )
        values["streams"] = {**settings.streams, **more.streams}
    values["precision"] = unite_precisions(settings.precision, more.precision)
    if settings.strategies is not None and more.strategies is not None:
        values["strategies"] = tuple(dict.fromkeys(settings.strategies + more.strategies))
    return StoreSettings(**values)
