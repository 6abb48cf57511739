"""Train, val and test of data that come without them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping

from ..store.schema import TEST, TRAIN, VAL

HELD_OUT = 0.1
"""Share of the videos in val, and in test."""


def split_videos(videos: Iterable[str], seed: int, known: Mapping[str, int] | None = None) -> dict[str, int]:
    """Subset code of each video: 80 % train, 10 % val, 10 % test, at least one of each among three or more.

    `known` holds the codes that videos have already: those stay, and only new videos are drawn, first for what test
    and val lack of their shares. New videos are taken in the order of SHA-256 over seed and id, so the result depends
    on no library, and not on the order of `videos`.
    """
    names = set(videos)
    codes = {name: code for name, code in (known or {}).items() if name in names}
    new = sorted(names - set(codes), key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())
    have = Counter(code for code in codes.values() if code)
    total = have.total() + len(new)
    share = max(1, round(HELD_OUT * total)) if total > 2 else total // 2
    free = len(new) if have[TRAIN] else len(new) - 1  # one is left for train
    for code, wanted in ((TEST, share), (VAL, share if total > 2 else 0)):
        drawn = max(0, min(wanted - have[code], free))
        codes.update(dict.fromkeys(new[:drawn], code))
        new, free = new[drawn:], free - drawn
    return codes | dict.fromkeys(new, TRAIN)
