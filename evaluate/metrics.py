"""Retrieval metrics of a similarity matrix: R@K, median and mean rank, text-to-video and video-to-text.

Arrays only. Ranks, their tie rule, distractors and the two video-to-text conventions are described in
`ranking`, whose functions are offered here too.
"""

from __future__ import annotations

import numpy as np
import torch

from ..pipeline.errors import ArrayError
from ..pipeline.ranking import ArrayT, Owner, ranks_chunked, text_to_video_ranks, video_to_text_ranks

__all__ = [
    "RECALL_AT",
    "ranks_chunked",
    "retrieval_metrics",
    "several_captions",
    "summarise_ranks",
    "takes_lower_median",
    "text_to_video_ranks",
    "video_to_text_ranks",
]

RECALL_AT = (1, 5, 10, 50)


def retrieval_metrics(
    sim: ArrayT, video_of_caption: Owner | None = None, v2t: str = "c4c"
) -> dict[str, dict[str, float]]:
    """`{"t2v": {"R@1", "R@5", "R@10", "R@50", "MdR", "MnR"}, "v2t": {…}}`; R@K in percent, ranks from 1.

    - sim: (M texts, N videos), higher is better, NumPy or torch, any real dtype (half precision is compared exactly).
    - video_of_caption: (M,) each text's column, in any order; None for a square matrix with matches on its diagonal.
    - v2t: `"c4c"` or `"ce"`, see `ranking.video_to_text_ranks`.

    `retrieval_metrics(np.array([[3.0, 1.0], [3.0, 2.0], [0.0, 0.0]]), [0, 1, 1])["t2v"]["R@1"]` is 33.3: only the first
    text finds its video: the second prefers video 0, and for the third both videos tie, which counts as rank 2. Follows
    the convention's published code on input without ties, medians included (`takes_lower_median`).

    Raises ArrayError for NaN, an empty matrix, a `video_of_caption` that does not fit, or an unknown `v2t`.
    """
    texts = text_to_video_ranks(sim, video_of_caption)
    videos = video_to_text_ranks(sim, video_of_caption, v2t)
    return {
        "t2v": summarise_ranks(texts, lower_median=takes_lower_median(video_of_caption, v2t)),
        "v2t": summarise_ranks(videos),
    }


def summarise_ranks(ranks: np.ndarray | torch.Tensor, *, lower_median: bool = False) -> dict[str, float]:
    """R@K in percent, MdR and MnR of ranks (Q,) that count from 1.

    MdR of an even number of queries is the mean of the two middle ranks, or with `lower_median` the lower of
    them, see `takes_lower_median`.

    Raises ArrayError when there are no ranks.
    """
    values = rank_array(ranks)
    middle = (len(values) - 1) // 2
    median = np.sort(values)[middle] if lower_median else np.median(values)
    recalls = {f"R@{k}": 100.0 * float(np.count_nonzero(values <= k)) / len(values) for k in RECALL_AT}
    return {**recalls, "MdR": float(median), "MnR": float(values.mean())}


def rank_array(ranks: np.ndarray | torch.Tensor) -> np.ndarray:
    """Ranks as a checked int64 NumPy array (Q,)."""
    values = ranks.detach().cpu().numpy() if isinstance(ranks, torch.Tensor) else np.asarray(ranks)
    if values.ndim != 1 or values.size == 0 or values.dtype.kind not in "iu":
        raise ArrayError(f"ranks must be a non-empty list of whole numbers, not {values.dtype} {values.shape}")
    if values.min() < 1:
        raise ArrayError(f"ranks count from 1, but one is {values.min()}")
    return values.astype(np.int64)


def takes_lower_median(video_of_caption: Owner | None, v2t: str = "c4c") -> bool:
    """Whether text-to-video's MdR is the lower of two middle ranks under the convention `v2t`.

    CLIP4Clip takes it (`torch.median`) where videos have several captions, the mean of both elsewhere;
    collaborative-experts (`"ce"`) always takes the mean (`np.median`).
    """
    return v2t != "ce" and several_captions(video_of_caption)


def several_captions(video_of_caption: Owner | None) -> bool:
    """Whether some video has more than one caption."""
    if video_of_caption is None:
        return False
    owner = torch.as_tensor(video_of_caption)
    return len(owner.unique()) < len(owner)
