"""Train, val and test of data that come without them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from ...pipeline.store.schema import TEST, TRAIN, VAL


def split_videos(videos: Iterable[str], seed: int, known: dict) -> dict[str, int]:
    """temporary"""
    order = sorted(set(videos), key=lambda video: hashlib.sha256(f"{seed}:{video}".encode()).digest())
    held_out = max(1, round(0.1 * len(order))) if len(order) > 2 else len(order) // 2
    codes = {video: known[video] for video in order if video in known}
    new = [video for video in order if video not in codes]
    for code in (TEST, VAL) if len(order) > 2 else (TEST,):
        while new and sum(value == code for value in codes.values()) < held_out:
            codes[new.pop(0)] = code
    return codes | dict.fromkeys(new, TRAIN)
