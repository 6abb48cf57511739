"""What is still to be made of a plan: chunks, each of which becomes one shard, whoever makes it."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from .plan import Plan, Planned, chunk_of_name, shard_name, supplement_of_name
from .reader import FeatureStore
from .schema import Failure


@dataclass(frozen=True)
class Chunk:
    """The work of one shard, told whole: what comes of it depends on this and on how frames are made, on nothing else.

    `name` and `order` are the shard's; `replaced` are those of the `videos` that an earlier shard has frames of, and
    `told` the failures that an earlier one tells of them.
    """

    number: int
    name: str
    order: int
    videos: tuple[Planned, ...]
    replaced: tuple[str, ...] = ()
    told: tuple[Failure, ...] = ()


def make_chunks(plan: Plan, pending: Collection[str], store: FeatureStore | None) -> list[Chunk]:
    """The chunks in which `pending` videos lie, in order; of a chunk that has its shard, what is to be mended of it.

    A shard's order is its chunk's number plus one, or later than every shard that speaks of one of its videos: so it
    does not depend on what was made first, and by whom.
    """
    members: dict[int, list[Planned]] = defaultdict(list)
    for video_id in sorted(pending):
        members[plan.videos[video_id].chunk].append(plan.videos[video_id])
    latest = _latest(store, pending)
    held = _held(store, sorted(pending))
    failures = store.failures if store is not None else {}
    supplement = _next_supplements(store)
    return [
        Chunk(
            number,
            shard_name(number, supplement.get(number, 0)),
            1 + max([number, *(latest[video.id] for video in videos if video.id in latest)]),
            tuple(videos),
            tuple(video.id for video in videos if video.id in held),
            tuple(failures[video.id] for video in videos if video.id in failures),
        )
        for number, videos in sorted(members.items())
    ]


def _held(store: FeatureStore | None, wanted: Sequence[str]) -> set[str]:
    """Those of the `wanted` videos that have frames."""
    if store is None:
        return set()
    return set(itertools.compress(wanted, (store.video_ids.find(wanted) >= 0).tolist()))


def _latest(store: FeatureStore | None, wanted: Collection[str]) -> Mapping[str, int]:
    """The highest order of a shard that holds, or tells of, each of the `wanted` videos."""
    latest: dict[str, int] = {}
    for shard in store.shards if store is not None else ():
        told = (*shard.video_ids, *(failure.id for failure in shard.failures), *shard.removed.videos)
        for video_id in told:
            if video_id in wanted:
                latest[video_id] = max(shard.order, latest.get(video_id, 0))
    return latest


def _next_supplements(store: FeatureStore | None) -> dict[int, int]:
    """For chunks that have a shard in `store`, the number of the next one that mends it.

    Shards that another run has published since `store` was read do not count: a chunk that it made must keep its name
    here, by which whoever claims it sees that it is made.
    """
    following: dict[int, int] = {}
    for shard in store.shards if store is not None else ():
        chunk = chunk_of_name(shard.path.name)
        if chunk is not None:
            following[chunk] = max(following.get(chunk, 0), 1 + supplement_of_name(shard.path.name))
    return following
