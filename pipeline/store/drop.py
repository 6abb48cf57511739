"""Videos taken out of a store, with their captions; nothing is decoded or encoded for it."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..captions.own import PROTOCOL as OWN
from ..errors import CamoeError
from .build import StoreBuilder
from .place import Place
from .reader import FeatureStore
from .schema import SUBSETS, UNUSED, CaptionKey, Captions, Removed, Shard, no_videos
from .shortfall import more_lacking

_NAMED = 3


@dataclass(frozen=True)
class Dropped:
    """The store without them; `videos` had frames, `failed` could not be read."""

    store: FeatureStore
    videos: int
    failed: int
    captions: int


def drop_videos(path: Path, names: Sequence[str]) -> Dropped:
    """Take videos out of the store at `path`, with their captions; they stay out when it is extracted again.

    It happens at once or not at all: in a folder by one shard that tells it, while a single file is written anew.
    Raises `CamoeError` naming ids that the store does not know, or a single file that is not finished yet, with
    nothing changed, and `RunStoppedError` when the disk refuses.
    """
    place = Place.of(path)
    shards = place.shards()
    if not shards:
        raise CamoeError(f"{path} is no store; give a file or a folder that camoe-extract wrote")
    if place.is_single and not place.out.exists():  # merging the parts would name an unfinished store as a finished one
        raise CamoeError(
            f"{path} does not exist; camoe-extract has begun it and not ended: run the same command again, then drop"
        )
    wanted = set(names)
    with StoreBuilder(path, FeatureStore.open(shards).settings, adding=True) as builder:
        store = builder.store
        assert store is not None
        names = sorted(wanted)
        held = set(itertools.compress(names, (store.video_ids.find(names) >= 0).tolist()))
        failed = (wanted & set(store.failures)) - held
        keys = _captions_of(store, wanted)
        known = held | failed | {video_id for video_id, _ in keys} | set(store.dropped)
        _refuse_unknown(path, sorted(wanted - known))
        if held and len(held) == len(store.video_ids):
            raise CamoeError(f"{path} would be left without videos; delete it instead")
        if held or failed or keys:
            builder.publish(_shard(store, sorted(wanted), keys))
        return Dropped(builder.finish(), len(held), len(failed), len(keys))


def _captions_of(store: FeatureStore, videos: set[str]) -> list[CaptionKey]:
    if not store.has_captions:
        return []
    rows = np.flatnonzero(store.caption_video_ids.among(sorted(videos)))
    return list(zip(store.caption_video_ids.take(rows), store.caption_ids.take(rows), strict=True))


def _refuse_unknown(path: Path, unknown: Sequence[str]) -> None:
    if unknown:
        shown = ", ".join(map(repr, unknown[:_NAMED])) + (", …" if len(unknown) > _NAMED else "")
        raise CamoeError(
            f"{path} knows no video {shown}, so nothing was dropped; an id is a video's path below the folder of "
            "videos, without suffix"
        )


def _shard(store: FeatureStore, videos: Sequence[str], keys: Sequence[CaptionKey]) -> Shard:
    """The shard that tells it: it holds nothing, and is later than all others."""
    settings = store.settings
    if not keys:
        settings = replace(settings, streams=None, strategies=None, tagger=None, captions_sha256=None)
        return Shard(settings, videos=no_videos(settings), removed=Removed(tuple(videos), (), tuple(videos)))
    return Shard(
        settings,
        videos=no_videos(settings),
        captions=Captions(
            [], [], [], {name: np.zeros(0, np.uint8) for name in store.protocols}, _shortfall(store, keys)
        ),
        removed=Removed(tuple(videos), tuple(keys), tuple(videos)),
    )


def _shortfall(store: FeatureStore, keys: Sequence[CaptionKey]) -> dict[str, dict]:
    """What each protocol lacks now. Own data promise no sizes; a benchmark lacks what it lacked and what is dropped."""
    stays = ~store.caption_video_ids.among(sorted({video_id for video_id, _ in keys}))
    told = dict(store.shortfall)
    for name, codes in store.protocols.items():
        lost = sorted(set(store.caption_video_ids.take(np.flatnonzero(~stays & (codes != UNUSED)))))
        if lost and name != OWN:
            told[name] = more_lacking(told.get(name, {}), _sizes(store, codes), _sizes(store, codes * stays), lost)
    return told


def _sizes(store: FeatureStore, codes: np.ndarray) -> Counter[str]:
    """Videos and captions of each subset."""
    sizes: Counter[str] = Counter()
    for subset, code in SUBSETS.items():
        rows = np.flatnonzero(codes == code)
        sizes[f"{subset} videos"] = len(np.unique(store.caption_video_ids.codes[rows]))
        sizes[f"{subset} captions"] = len(rows)
    return sizes
