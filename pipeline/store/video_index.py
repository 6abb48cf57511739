"""An index of a store's videos, for galleries that are too large to compare one by one.

It holds mean-pooled CLIP in 2 bits a number (product quantisation of pairs after a random rotation; faiss's fast
scan), looks at all of it, and gives the rows that are nearest to a vector; whoever searches compares those exactly. The
mean is taken out before: that changes no order and leaves the bits to what differs. One file, sealed by a checksum,
that knows the videos it was made of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import CamoeError
from ..extras import needs_extra
from ..sealed import DamagedError, is_sealed, read_sealed, write_sealed
from .reader import FeatureStore
from .rows import gather_rows

FEW_VIDEOS = 5_000
"""Up to here 8 bits a number are taken, for too few videos would train the quantiser."""
TRAINING_VIDEOS = 65_536
_BLOCK = 16_384


def export_index(store: FeatureStore, out: Path) -> list[Path]:
    """Write the index of a store's videos; returns the file. Raises `CamoeError` where it has none."""
    if not store.video_ids:
        raise CamoeError(f"{store.shards[0].path} holds no videos, so there is nothing to index")
    index = build_index(lambda: _pooled_blocks(store), len(store.video_ids))
    notes = {"videos": store.videos_content_sum, "count": str(len(store.video_ids))}
    write_sealed(out, {"index": torch.from_numpy(_faiss().serialize_index(index))}, notes)
    return [out]


def build_index(blocks: Callable[[], Iterable[np.ndarray]], count: int) -> Any:
    """A faiss index of `count` unit vectors; `blocks()` gives them as `(n, D)` float32 in their order, twice."""
    faiss = _faiss()
    total, sample = _survey(blocks(), count)
    mean = (total / count).astype(np.float32)
    width = len(mean)
    kind = "SQ8" if count <= FEW_VIDEOS or width % 2 else f"RR{width},PQ{width // 2}x4fs"
    index = faiss.index_factory(width, kind, faiss.METRIC_INNER_PRODUCT)
    index.train(sample - mean)
    for block in blocks():
        index.add(np.ascontiguousarray(block - mean))
    return index


def _survey(blocks: Iterable[np.ndarray], count: int) -> tuple[np.ndarray, np.ndarray]:
    """The sum of all vectors, and at most about `TRAINING_VIDEOS` of them, evenly spread."""
    step = -(-count // TRAINING_VIDEOS)
    total: np.ndarray | float = 0.0
    sample, seen = [], 0
    for block in blocks:
        total = total + block.sum(axis=0, dtype=np.float64)
        sample.append(block[-seen % step :: step])
        seen += len(block)
    return np.asarray(total), np.concatenate(sample)


@dataclass(frozen=True)
class VideoIndex:
    """An index that was opened; `nearest` gives rows in the order of the store's `video_ids`."""

    path: Path
    index: Any

    @classmethod
    def open(cls, path: Path, store: FeatureStore) -> VideoIndex:
        """Raises `CamoeError` for what is no index, is damaged, or was made of other videos than the store's."""
        if not path.is_file():
            raise CamoeError(f"--index {path} is not there; make it with camoe-store export STORE --out {path}")
        other = (
            f"--index {path} is no index of videos; give a file that camoe-store export STORE --out NAME.faiss wrote"
        )
        if not is_sealed(path):
            raise CamoeError(other)
        try:
            tensors, notes = read_sealed(path)
            index = _faiss().deserialize_index(tensors["index"].numpy())
        except DamagedError as error:
            raise CamoeError(f"--index {error}; export it again") from None
        except (KeyError, RuntimeError, TypeError):
            raise CamoeError(other) from None
        if notes.get("videos") != store.videos_content_sum or index.ntotal != len(store.video_ids):
            raise CamoeError(f"--index {path} was made of other videos than the store's; export it again")
        return cls(path, index)

    def nearest(self, vector: np.ndarray, count: int) -> np.ndarray:
        """Rows of at most `count` videos near a vector `(D,)`, the nearest first."""
        _, rows = self.index.search(np.ascontiguousarray(vector[None], np.float32), min(count, self.index.ntotal))
        found: np.ndarray = rows[0][rows[0] >= 0]
        return found


def _pooled_blocks(store: FeatureStore) -> Iterator[np.ndarray]:
    paths, places = [shard.path for shard in store.shards], store.video_places
    for start in range(0, len(places), _BLOCK):
        frames = gather_rows(paths, "frames", places[start : start + _BLOCK]).astype(np.float32)
        yield mean_pooled(frames)


def mean_pooled(frames: np.ndarray) -> np.ndarray:
    """The mean of the normalised frames `(B, T, D)`, which are zero where there is none: unit vectors `(B, D)`."""
    norms = np.linalg.norm(frames, axis=-1, keepdims=True)
    vectors = (frames / np.maximum(norms, 1e-12)).sum(axis=1)
    unit: np.ndarray = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
    return unit


def _faiss() -> Any:
    with needs_extra("faiss", "an index"):
        import faiss

    return faiss
