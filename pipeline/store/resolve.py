"""What counts in a store whose shards speak of the same things: later shards replace or drop what earlier ones hold.

Shards are never opened for writing again; so a caption that is corrected, a video that is extracted again and one that
is dropped are all told by a new shard, which lists what it removes from those of a lower order.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path

from .schema import FAILED, CaptionKey, Failure
from .shard import ShardIndex
from .strings import Strings


def by_order(shards: Iterable[ShardIndex]) -> list[ShardIndex]:
    """The shards from the earliest to the latest."""
    return sorted(shards, key=lambda shard: (shard.order, shard.path))


def removed_videos(shards: Sequence[ShardIndex]) -> dict[Path, frozenset[str]]:
    """Per shard, the videos of it that no longer count; shards that lost none are left out."""
    found: dict[Path, frozenset[str]] = {}
    for remover in shards:
        if remover.removed.videos:
            for shard in _before(remover, shards):
                there = shard.video_ids.find(remover.removed.videos) >= 0
                lost = frozenset(itertools.compress(remover.removed.videos, there.tolist()))
                if lost:
                    found[shard.path] = found.get(shard.path, frozenset()) | lost
    return found


def dropped_videos(shards: Sequence[ShardIndex], have: Strings) -> list[str]:
    """Videos that were dropped and are to stay out, sorted; not those that one `have`s again."""
    dropped = sorted({video_id for shard in shards for video_id in shard.removed.dropped})
    return list(itertools.compress(dropped, (have.find(dropped) < 0).tolist()))


def removed_captions(shards: Sequence[ShardIndex]) -> dict[Path, frozenset[CaptionKey]]:
    """Per shard, the captions that it may hold and that no longer count."""
    found: dict[Path, frozenset[CaptionKey]] = {}
    for remover in shards:
        if remover.removed.captions:
            for shard in _before(remover, shards):
                if shard.kind != "frames":
                    found[shard.path] = found.get(shard.path, frozenset()) | frozenset(remover.removed.captions)
    return found


def standing_failures(shards: Sequence[ShardIndex], have: Strings) -> dict[str, Failure]:
    """The failures by video, but for those that a later shard has told anew or dropped, or of videos it `have`s."""
    standing: dict[str, Failure] = {}
    for shard in by_order(shards):
        for video_id in shard.removed.videos:
            standing.pop(video_id, None)
        standing |= {failure.id: failure for failure in shard.failures}
    has_frames = (have.find(list(standing)) >= 0).tolist()
    return {
        name: failure
        for (name, failure), there in zip(standing.items(), has_frames, strict=True)
        if failure.stage != FAILED or not there
    }


def _before(remover: ShardIndex, shards: Sequence[ShardIndex]) -> list[ShardIndex]:
    """The earlier shards of the remover's own store: its folder, or the file that a folder of parts is merged into."""
    parts = remover.path.parent
    return [
        shard
        for shard in shards
        if shard.order < remover.order
        and (shard.path.parent == parts or parts == shard.path.with_name(shard.path.name + ".parts"))
    ]
