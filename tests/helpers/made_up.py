"""Videos that no camera saw, for stores of arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from camoe.pipeline.store import Videos


def made_up_videos(ids: Sequence[str], frames: np.ndarray, frame_count: np.ndarray | None = None) -> Videos:
    """Sound videos of one second with `frames (N, T, D)`, the first `frame_count (N,)` of each valid; none: all."""
    count, length = frames.shape[:2]
    return Videos(
        id=list(ids),
        source=[f"{name}.mp4" for name in ids],
        source_size=np.ones(count, np.int64),
        source_mtime=np.ones(count),
        duration_s=np.ones(count),
        status=["ok"] * count,
        frame_count=np.full(count, length) if frame_count is None else frame_count,
        frames=frames.astype(np.float16),
        frame_time_s=np.zeros((count, length), np.float32),
    )
