"""The videos of a store that are searched, and what the store says of each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from ...pipeline.captions.names import without_suffix
from ...pipeline.errors import CamoeError
from ...pipeline.store import SUBSETS, FeatureStore, subset_code
from ...pipeline.store.stored import StoredFrames
from ...train.data import resolve_protocol, shuffle_frames

_WINDOW = re.compile(r"@(\d+(?:\.\d+)?)?-(?:\d+(?:\.\d+)?)?")
BLOCK = 1024
"""Videos that are taken to float32 at once."""


class EmptyStoreError(CamoeError):
    """A store without any video that could be read."""


@dataclass(frozen=True)
class Gallery:
    """`N` videos sorted by id: `frames (N, T, D)` float16 as stored, of which `count (N,)` are valid.

    With an index they are read from the store where they are compared (`StoredFrames`). `times_s (N, T)` is in seconds
    of the file, NaN past them; a video that is a window of its file begins at `start_s (N,)`. `source` is relative to
    the videos' folder, `size (N,)` in bytes, `duration_s (N,)` of the file, NaN where it is not known.
    """

    ids: list[str]
    frames: np.ndarray | StoredFrames
    count: np.ndarray
    times_s: np.ndarray
    source: list[str]
    size: np.ndarray
    start_s: np.ndarray
    duration_s: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def max_frames(self) -> int:
        """`T`."""
        return int(self.frames.shape[1])

    def take(self, rows: np.ndarray, device: torch.device, *, raw: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """`X (B, T, D)` float32 and `mask (B, T)` of some videos: of norm 1 unless `raw`, zero where there is none."""
        frames = torch.from_numpy(self.frames[rows]).to(device).float()
        mask = torch.arange(self.max_frames, device=device) < torch.from_numpy(self.count[rows]).to(device)[:, None]
        return (frames if raw else F.normalize(frames, dim=-1)) * mask.unsqueeze(-1), mask

    def blocks(self) -> Iterator[np.ndarray]:
        """All rows, a block at a time."""
        for start in range(0, len(self), BLOCK):
            yield np.arange(start, min(start + BLOCK, len(self)))


def load_gallery(
    store: FeatureStore,
    rows: np.ndarray | None = None,
    *,
    shuffle_seed: int | None = None,
    on_disk: bool = False,
) -> Gallery:
    """The store's videos, or some `rows` of them; raises `EmptyStoreError` where there are none.

    `shuffle_seed`: the frames of each video as a run with shuffled frames saw them. `on_disk` leaves the frames where
    they are, but for shuffled ones, which are drawn for all videos at once.
    """
    if not store.video_ids:
        raise EmptyStoreError(
            f"{store.shards[0].path} holds no videos to search; extract some with camoe-extract --videos"
        )
    times = store.frame_times()
    frames: np.ndarray | StoredFrames
    if shuffle_seed is not None:
        frames, times = _shuffled(store.frames(), times, store.frame_count, shuffle_seed)
    else:
        frames = StoredFrames(store) if on_disk else store.frames()
    part = np.arange(len(times)) if rows is None else rows
    ids = store.video_ids.take(part).tolist()
    source = [value.decode() for value in store.video_column("source")[part].tolist()]
    start = np.array([window_start(video_id, name) for video_id, name in zip(ids, source, strict=True)], np.float32)
    return Gallery(
        ids=ids,
        frames=frames if rows is None else frames[part],
        count=store.frame_count[part],
        times_s=times[part] + start[:, None],
        source=source,
        size=store.video_column("source_size")[part],
        start_s=start,
        duration_s=store.video_column("duration_s")[part],
    )


def window_start(video_id: str, source: str) -> float:
    """Where in its file a video begins, in seconds: `clips/a@3.5-9` of `clips/a.mp4` at 3.5, a whole file at 0."""
    window = _WINDOW.fullmatch(video_id.removeprefix(without_suffix(source)))
    return float(window[1] or 0) if window else 0.0


def _shuffled(frames: np.ndarray, times: np.ndarray, count: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    mask = torch.from_numpy(np.arange(frames.shape[1]) < count[:, None])
    moved = shuffle_frames(torch.from_numpy(frames), mask, seed).numpy()
    return moved, shuffle_frames(torch.from_numpy(times).unsqueeze(-1), mask, seed).squeeze(-1).numpy()


def subset_rows(store: FeatureStore, subset: str, protocol: str | None, held_out: list[str]) -> np.ndarray:
    """The videos with a caption in a subset; captions of the videos `held_out` count as `val`, not `train`.

    Raises `CamoeError` where the store has no captions, or none of the subset.
    """
    if not store.has_captions:
        raise CamoeError(f"--subset {subset} needs captions, and {store.shards[0].path} has none; leave it out")
    name = resolve_protocol(store, protocol)
    codes = store.protocols[name].copy()
    codes[store.caption_video_ids.among(held_out) & (codes == SUBSETS["train"])] = SUBSETS["val"]
    rows = np.unique(store.caption_videos[codes == subset_code(subset)])
    rows = rows[rows >= 0]
    if not len(rows):
        raise CamoeError(f"protocol {name} has no {subset} captions of videos with features; name another --subset")
    return rows
