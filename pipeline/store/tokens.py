"""Word tokens of a store: its captions' sentences and where their tokens lie, the tokens themselves read in pieces."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from .live_part import LivePart
from .safe_open import StoreError, checked_dataset, child_group, open_hdf5, read_attribute, read_column, read_strings
from .schema import Captions, broken_rows, broken_tokens, check_token_rows
from .shard import as_damage

_BLOCK_BYTES = 16 << 20


@dataclass(frozen=True)
class StoredTokens:
    """Word tokens of `U` distinct whole captions, of which nothing but the places is in memory.

    `sentence` is what the text tower read; sentence `u` has `offsets[u + 1] - offsets[u]` tokens, the start token's
    first and the end token's, which is the sentence's embedding, last. `offsets (U + 1,)` and `row (M,)`, the sentence
    of each caption, are int64. The tokens of sentence `u` begin at row `starts[u]` of the file `paths[files[u]]`.
    """

    sentence: list[str]
    offsets: np.ndarray
    row: np.ndarray
    width: int
    paths: list[Path]
    files: np.ndarray
    starts: np.ndarray

    @property
    def longest(self) -> int:
        """Tokens of the longest caption, start and end token included; 0 without captions."""
        return int(np.diff(self.offsets).max(initial=0))

    def values(self) -> np.ndarray:
        """`(K, D)` float16, all tokens in the order of the sentences; raises as `read`."""
        return self.read(np.arange(len(self.sentence)))

    def read(self, rows: np.ndarray) -> np.ndarray:
        """`(sum of lengths, D)` float16, the tokens of the sentences `rows`, one below the other in that order.

        Raises `StoreError` naming the sentence whose tokens are not finite, or for a file that changed meanwhile.
        """
        lengths = np.diff(self.offsets)[rows]
        targets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        values = np.empty((int(targets[-1]), self.width), np.float16)
        for number in np.unique(self.files[rows]).tolist():
            chosen = np.flatnonzero(self.files[rows] == number)
            chosen = chosen[np.argsort(self.starts[rows[chosen]], kind="stable")]
            _read_pieces(self.paths[number], self.starts[rows[chosen]], lengths[chosen], targets[chosen], values)
        broken = broken_rows(values)
        if len(broken):
            which = int(np.searchsorted(targets, broken[0], side="right")) - 1
            path, sentence = self.paths[self.files[rows[which]]], self.sentence[rows[which]]
            raise StoreError(f"{path}: {broken_tokens(sentence)}")
        return values

    def blocks(self) -> Iterator[np.ndarray]:
        """`values()` in pieces of about 16 MB, no sentence cut."""
        step = max(1, _BLOCK_BYTES // (2 * self.width))
        start = 0
        while start < len(self.sentence):
            end = int(np.searchsorted(self.offsets, self.offsets[start] + step))
            end = min(max(end, start + 1), len(self.sentence))
            yield self.read(np.arange(start, end))
            start = end


def read_tokens(path: Path) -> StoredTokens:
    """The word tokens of one shard that has some; raises `StoreError` where they do not fit together."""
    with open_hdf5(path) as file:
        group = child_group(file, "tokens")
        values, embed_dim = checked_dataset(group, "values", "f", 2), read_attribute(file, "embed_dim")
        if values.shape[1] != embed_dim:
            raise StoreError(f"{path}: word tokens are {values.shape[1]} wide and embed_dim is {embed_dim}")
        offsets, row = (read_column(group, name, "i").astype(np.int64) for name in ("offsets", "row"))
        sentence = read_strings(group, "sentence")
        if len(row) != len(checked_dataset(child_group(file, "captions"), "id", "S")):
            raise StoreError(f"{path}: word tokens are not of all its captions; the file is not whole")
        with as_damage(path):
            check_token_rows(sentence, offsets, row, len(values))
    return StoredTokens(sentence, offsets, row, int(embed_dim), [path], np.zeros(len(sentence), np.int64), offsets[:-1])


def unite_tokens(parts: Sequence[LivePart], captions: Captions, remedy: str) -> StoredTokens:
    """The tokens of all `captions`; each distinct sentence once, those of captions that no longer count left out.

    Raises `StoreError` where a caption has none, naming the `remedy`, or two.
    """
    row = np.full(len(captions.id), -1, np.int64)
    place: dict[str, int] = {}
    lengths, files, starts = [], [], []
    width = 0
    for number, part in enumerate(parts):
        tokens = read_tokens(part.shard.path)
        width = tokens.width
        if (row[part.position] >= 0).any():
            raise StoreError(f"word tokens of a caption lie in {part.shard.path} and in another shard; give one")
        used, inverse = np.unique(tokens.row[part.rows], return_inverse=True)
        texts = [tokens.sentence[mine] for mine in used.tolist()]
        new = used[[_is_new(text, place) for text in texts]]
        united = np.array([place[text] for text in texts], np.int64)
        lengths.append(np.diff(tokens.offsets)[new])
        starts.append(tokens.starts[new])
        files.append(np.full(len(new), number, np.int64))
        row[part.position] = united[inverse]
    if (row < 0).any():
        lacking = int(np.argmin(row))
        raise StoreError(
            f"{int((row < 0).sum())} of {len(row)} captions have no word tokens (first: {captions.id[lacking]!r} of "
            f"video {captions.video_id[lacking]!r}); {remedy}"
        )
    empty = [np.empty(0, np.int64)]
    offsets = np.concatenate([[0], np.cumsum(np.concatenate(lengths or empty))]).astype(np.int64)
    paths = [part.shard.path for part in parts]
    return StoredTokens(
        list(place), offsets, row, width, paths, np.concatenate(files or empty), np.concatenate(starts or empty)
    )


def _is_new(text: str, place: dict[str, int]) -> bool:
    """Whether a sentence has no place yet; it gets the next one."""
    before = len(place)
    return place.setdefault(text, before) == before


def find_tokens(paths: Sequence[Path], wanted: Container[str]) -> dict[str, np.ndarray]:
    """The tokens `(L, D)` float16 of those of the `wanted` sentences that some of the files holds."""
    found: dict[str, np.ndarray] = {}
    for path in paths:
        tokens = read_tokens(path)
        rows = [row for row, text in enumerate(tokens.sentence) if text in wanted and text not in found]
        ends = np.cumsum(np.diff(tokens.offsets)[rows]).tolist()
        values = tokens.read(np.array(rows, np.int64))
        found |= {tokens.sentence[row]: values[a:b] for row, (a, b) in zip(rows, pairwise([0, *ends]), strict=True)}
    return found


def _read_pieces(path: Path, starts: np.ndarray, lengths: np.ndarray, targets: np.ndarray, values: np.ndarray) -> None:
    """Copy pieces of a file's tokens into `values`; `starts` ascend, and pieces that lie together are read as one."""
    ends = starts + lengths
    with open_hdf5(path) as file:
        dataset = checked_dataset(child_group(file, "tokens"), "values", "f", 2)
        if len(ends) and (int(ends.max()) > len(dataset) or dataset.shape[1] != values.shape[1]):
            raise StoreError(f"{path} has changed while it was read; open the store again")
        is_cut = (starts[1:] != ends[:-1]) | (targets[1:] != targets[:-1] + lengths[:-1])
        cuts = [0, *(np.flatnonzero(is_cut) + 1).tolist(), len(starts)]
        for first, end in pairwise(cuts):
            source = np.s_[int(starts[first]) : int(ends[end - 1])]
            target = np.s_[int(targets[first]) : int(targets[end - 1] + lengths[end - 1])]
            dataset.read_direct(values, source, target)
