"""Ranks from a similarity matrix, or from embeddings in blocks where the matrix would not fit into memory.

`sim` is (M texts, N videos), higher is better; `video_of_caption` (M,) gives the column of each text's own
video: `[0, 0, 2]` means that captions 0 and 1 belong to video 0, caption 2 to video 2, and that video 1 is a
distractor, in the gallery but without a caption. It may be unsorted. Left out, text i belongs to video i and
the matrix must be square.

Ranks count from 1. *Ties rank last*: an item's rank is the number of candidates that score at least as high,
itself included. The row `[0.9, 0.9, 0.1]` with own video 0 or 1 gives rank 2, never 1; a model that returns a
constant finds nothing. Infinities are ordinary scores (-inf = "not a match"; equal infinities tie); NaN is
refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

import numpy as np
import torch

from .arrays import ArrayT, as_tensor, like, matrix
from .errors import ArrayError
from .scores import BLOCK_BYTES, EmbeddingScores, MatrixScores, Scores

__all__ = [
    "V2T_CONVENTIONS",
    "ArrayT",
    "Owner",
    "TextQueries",
    "VideoQueries",
    "as_tensor",
    "check_convention",
    "like",
    "matrix",
    "owner_index",
    "ranks_chunked",
    "text_to_video_ranks",
    "video_to_text_ranks",
]

Owner: TypeAlias = np.ndarray | torch.Tensor | Sequence[int]


def owner_index(video_of_caption: Owner | None, texts: int, videos: int, device: torch.device) -> torch.Tensor:
    """`video_of_caption`, checked, as int64 (M,) on `device`."""
    if video_of_caption is None:
        if texts != videos:
            raise ArrayError(f"{texts} texts and {videos} videos do not pair up one to one; pass video_of_caption")
        return torch.arange(texts, device=device)
    owner = torch.as_tensor(np.asarray(video_of_caption) if not torch.is_tensor(video_of_caption) else video_of_caption)
    if owner.is_floating_point() or owner.is_complex() or owner.dtype == torch.bool or owner.ndim != 1:
        raise ArrayError(f"video_of_caption must be one whole number per text, not {owner.dtype} {tuple(owner.shape)}")
    owner = owner.to(device=device, dtype=torch.int64)
    if len(owner) != texts:
        raise ArrayError(f"video_of_caption has {len(owner)} entries for {texts} texts; give one per text")
    if owner.min() < 0 or owner.max() >= videos:
        raise ArrayError(
            f"video_of_caption goes from {int(owner.min())} to {int(owner.max())}; sim has columns 0 to {videos - 1}"
        )
    return owner


def _count(mask: torch.Tensor, dim: int) -> torch.Tensor:
    """How many are true, int64; on the CPU torch would first widen the mask to int64, NumPy counts it as it is."""
    if mask.device.type != "cpu":
        return mask.sum(dim)
    return torch.from_numpy(np.count_nonzero(mask.numpy(), axis=dim)).to(torch.int64)


def _c4c(block: torch.Tensor, group: torch.Tensor, column_group: torch.Tensor, groups: int) -> torch.Tensor:
    """Per video the maximum over its captions, ranked among the captioned videos (CLIP4Clip)."""
    pooled = block.new_full((groups, block.shape[1]), -torch.inf)
    pooled.scatter_reduce_(0, group[:, None].expand_as(block), block, "amax")
    own = pooled.gather(0, column_group[None])
    return _count(pooled >= own, 0)


def _ce(block: torch.Tensor, group: torch.Tensor, column_group: torch.Tensor, groups: int) -> torch.Tensor:
    """The best rank of a video's own captions among all captions (collaborative-experts)."""
    is_own = group[:, None] == column_group[None]
    best = block.masked_fill(~is_own, -torch.inf).amax(0)
    return 1 + _count((block >= best) & ~is_own, 0)


V2T_CONVENTIONS: dict[str, Callable[[torch.Tensor, torch.Tensor, torch.Tensor, int], torch.Tensor]] = {
    "c4c": _c4c,
    "ce": _ce,
}


def check_convention(v2t: str) -> None:
    """Refuse a name that is not in `V2T_CONVENTIONS`."""
    if v2t not in V2T_CONVENTIONS:
        raise ArrayError(f"unknown video-to-text convention {v2t!r}; choose from {', '.join(V2T_CONVENTIONS)}")


def _own_ranks(scores: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    """The ranks of columns `own (b,)` in the rows of `scores (b, gallery)`."""
    return _count(scores >= scores.gather(1, own[:, None]), 1)


class Queries(Protocol):
    """How the queries of one direction are ranked, a block of them at a time; the ranks gather in `ranks`."""

    ranks: torch.Tensor

    def see(self, rows: slice, scores: torch.Tensor) -> None:
        """Rank the queries `rows`, whose scores of the whole gallery are `scores (b, gallery)`."""


class TextQueries:
    """Texts that ask for their video: `ranks (M,)` int64. All videos compete, distractors too."""

    def __init__(self, owner: torch.Tensor) -> None:
        self.owner, self.ranks = owner, torch.zeros_like(owner)

    def see(self, rows: slice, scores: torch.Tensor) -> None:
        """Scores are (texts, videos)."""
        self.ranks[rows] = _own_ranks(scores, self.owner[rows])


class VideoQueries:
    """Videos that ask for their text: `ranks` int64 of the captioned ones, in order. `V2T_CONVENTIONS` says how."""

    def __init__(self, owner: torch.Tensor, videos: int, v2t: str) -> None:
        check_convention(v2t)
        self.convention = V2T_CONVENTIONS[v2t]
        captioned, self.group = owner.unique(return_inverse=True)
        self.ranks = torch.zeros_like(captioned)
        self.place = torch.full((videos,), -1, dtype=torch.int64, device=owner.device)
        self.place[captioned] = torch.arange(len(captioned), device=owner.device)
        self.only_text = self.group.argsort() if len(captioned) == len(owner) else None

    def see(self, rows: slice, scores: torch.Tensor) -> None:
        """Scores are (videos, texts)."""
        place = self.place[rows]
        asking = place >= 0
        if not asking.all():
            place, scores = place[asking], scores[asking]
        if self.only_text is not None:  # one caption a video: nothing to pool, and all conventions agree
            self.ranks[place] = _own_ranks(scores, self.only_text[place])
        elif len(place):
            self.ranks[place] = self.convention(scores.T, self.group, place, len(self.ranks))


def text_to_video_ranks(sim: ArrayT, video_of_caption: Owner | None = None) -> ArrayT:
    """The rank of its own video for every text, int64 (M,); all N columns compete, distractors too.

    Raises ArrayError for NaN, an empty matrix, or a `video_of_caption` that does not fit.
    """
    scores = MatrixScores.of(sim)
    queries = TextQueries(owner_index(video_of_caption, *scores.shape, scores.device))
    return like(_ranked(scores, queries), sim)


def video_to_text_ranks(sim: ArrayT, video_of_caption: Owner | None = None, v2t: str = "c4c") -> ArrayT:
    """The rank of its own text for every captioned video, int64, in the order of `np.unique(video_of_caption)`.

    - `"c4c"`: each video's captions are pooled by maximum, then ranked among captioned videos (CLIP4Clip).
    - `"ce"`: the best rank of a video's captions among all captions (collaborative-experts). Its own
      captions do not compete with each other. R@1 agrees with `"c4c"`; R@5, R@10, MdR and MnR do not compare.

    Distractors have no text to find, hence no rank. Raises ArrayError as `text_to_video_ranks`, or for an
    unknown name.
    """
    check_convention(v2t)
    scores = MatrixScores.of(sim)
    queries = VideoQueries(owner_index(video_of_caption, *scores.shape, scores.device), scores.gallery, v2t)
    return like(_ranked(scores.transposed, queries), sim)


def ranks_chunked(
    text: ArrayT,
    video: ArrayT,
    video_of_caption: Owner | None = None,
    v2t: str = "c4c",
    *,
    device: str | torch.device | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> tuple[ArrayT, ArrayT]:
    """Both rank arrays of `text @ video.T` without holding the (M,N) matrix: for large galleries.

    text (M,D) and video (N,D) are normalised embeddings; a sum of streams is one product of concatenated vectors
    (`[w_1 t_1, w_2 t_2]` against `[v_1, v_2]`). A block of the matrix takes at most `block_bytes` (at least one row or
    column), and each entry is computed twice, once per direction. Runs on `device` (default: where `text` is) in the
    embeddings' precision, half precision widened to float32. Re-ranked: `camoe.pipeline.reranking.ranks`.

    Returns (text-to-video, video-to-text) ranks, those of the plain functions on the matrix; where two scores differ
    by less than the rounding of a matrix product, a block and the whole matrix may order them differently.

    Raises ArrayError for embeddings that do not fit each other or are not finite, and as the plain functions.
    """
    check_convention(v2t)
    scores = EmbeddingScores.of(text, video, device)
    owner = owner_index(video_of_caption, *scores.shape, scores.device)
    texts = _ranked(scores, TextQueries(owner), block_bytes)
    videos = _ranked(scores.transposed, VideoQueries(owner, scores.gallery, v2t), block_bytes)
    return like(texts, text), like(videos, text)


def _ranked(scores: Scores, queries: Queries, block_bytes: int = BLOCK_BYTES) -> torch.Tensor:
    for rows, block in scores.blocks(block_bytes):
        queries.see(rows, block)
    return queries.ranks
