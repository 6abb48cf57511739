"""The content sums of captions, texts and word tokens that still count, whichever shards they lie in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .content import add_sums, captions_sum, table_sum, tokens_sum
from .live_part import LivePart, caption_rows
from .schema import TextName
from .tokens import read_tokens
from .union import UnitedCaptions


def united_captions_sum(united: UnitedCaptions) -> str:
    """The content sum of the captions; of shards whose captions are theirs alone, the sum that they state."""
    protocols = united.captions.protocols
    sums, start = [], 0
    for part in united.parts:
        stated = part.shard.sums["captions"]
        if united.recurs or not part.is_whole or set(part.protocols) != set(protocols) or not int(stated, 16):
            sums.append(_live_captions_sum(united, part, start))
        else:
            sums.append(stated)
        start += part.count
    return add_sums(sums)


def united_table_sums(parts: Sequence[LivePart]) -> list[str]:
    """The content sums of each shard's texts and word tokens, counting only captions that still count."""
    tokens = [_live_tokens_sum(part) for part in parts if part.shard.has_tokens]
    return tokens + [_live_table_sum(part, name) for part in parts for name in part.shard.text_names]


def _live_captions_sum(united: UnitedCaptions, part: LivePart, start: int) -> str:
    """Of those captions of a part that stand nowhere before."""
    places = part.places()
    mine = np.arange(part.count)
    if united.first is not None:
        mine = mine[united.first[places] == start + mine]
    captions = caption_rows(part.captions(), mine)
    codes = {name: values[places[mine]] for name, values in united.captions.protocols.items()}
    return captions_sum(replace(captions, protocols=codes))


def _live_table_sum(part: LivePart, name: TextName) -> str:
    if part.is_whole:
        return part.shard.sums["/".join(name)]
    return table_sum(part.captions(), name, part.read_table(name))


def _live_tokens_sum(part: LivePart) -> str:
    if part.is_whole:
        return part.shard.sums["tokens"]
    tokens = read_tokens(part.shard.path)
    return tokens_sum(part.captions(), replace(tokens, row=tokens.row[part.rows]))
