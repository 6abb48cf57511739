"""The captions of several shards read as one table, or a refusal where the shards contradict each other.

Videos and subsets of the captions are in memory, as columns; their ids and texts, and the sentences of tables, are
read when they are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import h5py
import numpy as np

from .caption_order import Arrangement, arrange
from .live_part import LivePart, live_part
from .resolve import by_order, removed_captions
from .rows import StackedTexts
from .safe_open import StoreError, open_hdf5
from .schema import UNUSED, WORD_TOKENS, Captions, TextName
from .sentence_index import SentenceIndex
from .shard import CaptionKeys, ShardIndex, caption_ids, caption_texts
from .strings import CodedStrings, StoredStrings
from .text_hash import text_hashes
from .tokens import StoredTokens, find_tokens, unite_tokens
from .united_texts import UnitedTexts


@dataclass(frozen=True)
class UnitedCaptions:
    """Captions of several shards as one sorted table; a caption may recur where shards hold different texts of it.

    `first` is none where none recurs and all stand in order; else it tells where each caption stands first, counted
    through the parts.
    """

    captions: Captions
    parts: list[LivePart]
    first: np.ndarray | None
    recurs: bool
    _sentences: dict[TextName, SentenceIndex] = field(default_factory=dict)

    @classmethod
    def read(cls, shards: Sequence[ShardIndex]) -> UnitedCaptions:
        removed = removed_captions(shards)
        found = [
            live_part(shard, removed.get(shard.path, frozenset()))
            for shard in by_order(shards)
            if shard.kind != "frames"
        ]
        shortfall = {name: lack for _, keys in found for name, lack in keys.shortfall.items()}
        ends = np.cumsum([0, *(part.count for part, _ in found)])
        arranged = arrange([keys for _, keys in found])
        _refuse_doubles(found, arranged, ends)
        parts = [
            replace(part, position=arranged.position(int(start), int(end)))
            for (part, _), start, end in zip(found, ends[:-1], ends[1:], strict=True)
        ]
        del found
        count = len(arranged.videos)
        captions = Captions(
            id=StoredStrings(count, _stacked(caption_ids, parts, arranged.first)),
            video_id=arranged.videos,
            text=StoredStrings(count, _stacked(caption_texts, parts, arranged.first)),
            protocols=_united_protocols(parts, count),
            shortfall=shortfall,
        )
        if arranged.recurs:
            _refuse_different_texts(parts, captions)
        return cls(captions, parts, arranged.first, arranged.recurs)

    @property
    def videos(self) -> CodedStrings:
        """The video of each caption."""
        assert isinstance(self.captions.video_id, CodedStrings)
        return self.captions.video_id

    def texts(self, name: TextName) -> UnitedTexts:
        """Those of one strategy and stream, which some shard must have."""
        is_alone = len(self.parts) == 1 and self.parts[0].is_whole
        return UnitedTexts(name, self._holders(name), self.captions.id, is_alone)

    def _holders(self, name: TextName) -> list[LivePart]:
        return [part for part in self.parts if name in part.shard.text_names]

    def find_sentences(self, name: TextName, wanted: Collection[str]) -> dict[str, np.ndarray]:
        """The embeddings `(D,)` float16 of those of the `wanted` sentences that some shard holds."""
        if name not in self._sentences:
            self._sentences[name] = SentenceIndex.read(name, [part.shard.path for part in self._holders(name)])
        return self._sentences[name].find(wanted)

    def tokens(self, remedy: str) -> StoredTokens:
        """The word tokens of all captions; raises `StoreError`, naming the `remedy`, where a caption has none."""
        return unite_tokens([part for part in self.parts if part.shard.has_tokens], self.captions, remedy)

    def find_tokens(self, wanted: Collection[str]) -> dict[str, np.ndarray]:
        """The word tokens `(L, D)` float16 of those of the `wanted` sentences that some shard holds."""
        return find_tokens([part.shard.path for part in self.parts if part.shard.has_tokens], wanted)

    @cached_property
    def holding(self) -> Mapping[TextName, np.ndarray]:
        """`(M,)` bool by strategy and stream: which captions there are texts of."""
        found: dict[TextName, np.ndarray] = {}
        for part in self.parts:
            for name in [*part.shard.text_names, *([WORD_TOKENS] if part.shard.has_tokens else [])]:
                found.setdefault(name, np.zeros(len(self.captions.id), bool))[part.position] = True
        return found


def _stacked(
    column: Callable[[h5py.File], h5py.Dataset], parts: Sequence[LivePart], first: np.ndarray | None
) -> StackedTexts:
    """The captions' ids or texts, each from the shard in which its caption stands first."""
    chosen = first
    starts = np.cumsum([0, *(part.whole for part in parts)])
    if not all(part.is_whole for part in parts):
        pairs = zip(parts, starts, strict=False)
        live = np.concatenate([start + part.in_shard(np.arange(part.count)) for part, start in pairs])
        chosen = live if first is None else live[first]
    return StackedTexts([part.shard.path for part in parts], column, starts[:-1], chosen)


def _refuse_doubles(parts: Sequence[tuple[LivePart, CaptionKeys]], arranged: Arrangement, ends: np.ndarray) -> None:
    """A caption may stand in several shards, and once in each."""
    double = arranged.first_double(ends)
    if double is not None:
        number = int(np.searchsorted(ends, double, "right")) - 1
        (part, keys), row = parts[number], double - int(ends[number])
        raise StoreError(
            f"{part.shard.path}: video {keys.video_id[row]!r} has two captions {keys.id[row]!r}; "
            "the file is not a sound store"
        )


def _refuse_different_texts(parts: Sequence[LivePart], captions: Captions) -> None:
    """A caption that stands in several shards reads the same in all."""
    count = len(captions.id)
    seen = np.zeros((2, count), np.uint64)
    is_seen = np.zeros(count, bool)
    for part in parts:
        with open_hdf5(part.shard.path) as file:
            hashes = text_hashes(caption_texts(file)[()])[:, part.rows]
        differs = is_seen[part.position] & (seen[:, part.position] != hashes).any(axis=0)
        if differs.any():
            row = int(part.places()[differs.argmax()])
            raise StoreError(
                f"caption {captions.id[row]!r} of video {captions.video_id[row]!r} reads differently in "
                f"{part.shard.path} and in another shard; they were made from different caption files"
            )
        seen[:, part.position] = hashes
        is_seen[part.position] = True


def _united_protocols(parts: Sequence[LivePart], count: int) -> dict[str, np.ndarray]:
    protocols: dict[str, np.ndarray] = {}
    for part in parts:
        for name, codes in part.protocols.items():
            united = protocols.setdefault(name, np.zeros(count, np.uint8))
            there = united[part.position]
            if ((there != codes) & (there != UNUSED) & (codes != UNUSED)).any():
                raise StoreError(
                    f"protocol {name} puts a caption into another subset in {part.shard.path} than elsewhere"
                )
            united[part.position] = np.maximum(there, codes)
    return protocols
