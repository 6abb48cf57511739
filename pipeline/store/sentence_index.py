"""Where a store has the embedding of a sentence: sought by a hash, so that no sentence is kept in memory."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .rows import rows_of
from .safe_open import open_hdf5
from .schema import TextName
from .shard import open_table
from .strings import Strings
from .text_hash import text_hashes


@dataclass(frozen=True)
class SentenceIndex:
    """The sentences of one strategy and stream in some files, by ascending `hashes (U,)`; 12 bytes each.

    Sentence `places[n]` is counted through the files, of which file `f` has those from `starts[f]` on.
    """

    name: TextName
    paths: Sequence[Path]
    starts: np.ndarray
    hashes: np.ndarray
    places: np.ndarray

    @classmethod
    def read(cls, name: TextName, paths: Sequence[Path]) -> SentenceIndex:
        """Reads all sentences once."""
        found = [np.empty(0, np.uint64)]
        for path in paths:
            with open_hdf5(path) as file:
                found.append(text_hashes(open_table(file, name).sentence[()])[0])
        hashes = np.concatenate(found)
        order = np.argsort(hashes, kind="stable")
        places = order.astype(np.uint32 if len(order) < 1 << 32 else np.int64)
        return cls(name, paths, np.cumsum([0, *map(len, found[1:])]), hashes[order], places)

    def find(self, wanted: Collection[str]) -> dict[str, np.ndarray]:
        """The embeddings `(D,)` float16 of the `wanted` sentences that are there, each from the first file it is in."""
        sought = np.unique(text_hashes(Strings.of(wanted).fixed())[0]) if wanted else np.empty(0, np.uint64)
        first = np.searchsorted(self.hashes, sought)
        count = np.searchsorted(self.hashes, sought, "right") - first
        rows = np.repeat(first - (np.cumsum(count) - count), count) + np.arange(int(count.sum()))
        places = np.sort(self.places[rows].astype(np.int64))
        files = np.searchsorted(self.starts, places, "right") - 1
        found: dict[str, np.ndarray] = {}
        for number in np.unique(files).tolist():
            mine = places[files == number] - self.starts[number]
            with open_hdf5(self.paths[number]) as file:
                table = open_table(file, self.name)
                texts, vectors = Strings.of(rows_of(table.sentence, mine)), rows_of(table.embedding, mine)
            for text, vector in zip(texts, vectors, strict=True):
                if text in wanted and text not in found:
                    found[text] = vector.copy()
        return found
