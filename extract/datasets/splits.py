"""Train, val and test of data that come without them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from ...pipeline.store.schema import TEST, TRAIN, VAL


def split_videos(videos: Iterable[str], seed: int) -> dict[str, int]:
    """Subset code of each video: 80 % train, 10 % val, 10 % test, at least one of each among three or more.

    The order is that of SHA-256 over seed and id, so it depends on no library, and not on the order of `videos`.
    """
    order = sorted(set(videos), key=lambda video: hashlib.sha256(f"{seed}:{video}".encode()).digest())
    held_out = max(1, round(0.1 * len(order))) if len(order) > 2 else len(order) // 2
    codes = dict.fromkeys(order, TRAIN)
    codes.update(dict.fromkeys(order[:held_out], TEST))
    if len(order) > 2:
        codes.update(dict.fromkeys(order[held_out : 2 * held_out], VAL))
    return codes
