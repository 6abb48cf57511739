"""Frames, sentences and word tokens of a store, left where they lie and read when they are asked for."""

from __future__ import annotations

import numpy as np

from .reader import FeatureStore
from .row_file import StoredRows
from .safe_open import StoreError
from .schema import TextName, broken_rows, broken_tokens


class StoredFrames:
    """`frames[rows]` are those of some videos, `(B, T, D)` in the order of the store's `video_ids`.

    Raises `StoreError` for rows that cannot be read or are not finite.
    """

    def __init__(self, store: FeatureStore) -> None:
        self.shape = store.frames_shape
        self._ids, places = store.video_ids, store.video_places
        used, self._files = np.unique(places[:, 0], return_inverse=True)
        self._place = places[:, 1]
        self._rows = StoredRows([store.shards[number].path for number in used.tolist()], ("videos", "frames"), 3)

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        found = self._rows.read(self._files[rows], self._place[rows])
        if len(broken := broken_rows(found)):
            video_id = self._ids[int(rows[broken[0]])]
            raise StoreError(f"the frames of {video_id!r} are not finite; extract that video again")
        return found


class StoredTexts:
    """`texts[rows]` are embeddings `(B, D)` of some of the `U` sentences of one strategy and stream.

    `row (M,)` int64 is the sentence of each of the store's captions. Raises `StoreError` as `FeatureStore.text_table`,
    and for rows that cannot be read or are not finite.
    """

    def __init__(self, store: FeatureStore, strategy: str, stream: str) -> None:
        places = store.text_places(strategy, stream)
        self.row = places.row
        self._name: TextName = places.name
        self._paths, self._files, self._place = places.paths, places.files, places.rows
        self._rows = StoredRows(places.paths, ("texts", *places.name, "embedding"), 2)
        self.shape = (len(self._place), *self._rows.row_shape)

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        files = self._files[rows]
        found = self._rows.read(files, self._place[rows])
        if len(broken := broken_rows(found)):
            path = self._paths[int(files[broken[0]])]
            raise StoreError(f"{path}: texts {'/'.join(self._name)} are not finite; extract its captions again")
        return found.astype(np.float16, copy=False)


class StoredWords:
    """`words[rows]` are the word tokens `(sum of lengths, D)` float16 of some sentences, one below the other.

    Sentences are those of `FeatureStore.word_tokens`. Raises `StoreError` as that, and for tokens that cannot be read
    or are not finite.
    """

    def __init__(self, store: FeatureStore) -> None:
        self._tokens = store.word_tokens
        self._rows = StoredRows(self._tokens.paths, ("tokens", "values"), 2)
        self.shape = (int(self._tokens.offsets[-1]), self._tokens.width)

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        counts = np.diff(self._tokens.offsets)[rows]
        ends = counts.cumsum()
        inner = np.arange(int(ends[-1]) if len(ends) else 0) - np.repeat(ends - counts, counts)
        files = np.repeat(self._tokens.files[rows], counts)
        found = self._rows.read(files, np.repeat(self._tokens.starts[rows], counts) + inner)
        if len(broken := broken_rows(found)):
            which = int(rows[int(np.searchsorted(ends, broken[0], side="right"))])
            path = self._tokens.paths[int(self._tokens.files[which])]
            raise StoreError(f"{path}: {broken_tokens(self._tokens.sentence[which])}")
        return found.astype(np.float16, copy=False)
