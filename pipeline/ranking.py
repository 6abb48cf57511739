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
from typing import TypeAlias, TypeVar

import numpy as np
import torch

from .errors import ArrayError

ArrayT = TypeVar("ArrayT", np.ndarray, torch.Tensor)
Owner: TypeAlias = np.ndarray | torch.Tensor | Sequence[int]
EXACT_DTYPES = (torch.float32, torch.float64)


def as_tensor(values: np.ndarray | torch.Tensor, name: str) -> torch.Tensor:
    """The values as a float32 or float64 tensor without loss (half precision is widened); shares memory if it
    can."""
    if not isinstance(values, torch.Tensor):
        array = np.asarray(values)
        if array.dtype.kind not in "biuf":
            raise ArrayError(f"{name} holds {array.dtype} values; pass real numbers")
        if array.dtype not in (np.float16, np.float32, np.float64) or not array.dtype.isnative:
            array = array.astype(np.float64)
        array = np.ascontiguousarray(array)
        values = torch.from_numpy(array if array.flags.writeable else array.copy())
    elif values.is_complex():
        raise ArrayError(f"{name} holds {values.dtype} values; pass real numbers")
    tensor = values.detach()
    if tensor.dtype in EXACT_DTYPES:
        return tensor
    return tensor.to(torch.float32 if tensor.is_floating_point() else torch.float64)


def matrix(values: np.ndarray | torch.Tensor, name: str = "sim") -> torch.Tensor:
    """A non-empty 2-D tensor without NaN, or an ArrayError that says what is wrong."""
    tensor = as_tensor(values, name)
    if tensor.ndim != 2 or tensor.numel() == 0:
        raise ArrayError(f"{name} has shape {tuple(tensor.shape)}; pass a matrix with at least one row and column")
    if tensor.isnan().any():
        raise ArrayError(
            f"{name} contains {int(tensor.isnan().sum())} NaN of {tensor.numel()} values; is the model broken?"
        )
    return tensor


def like(result: torch.Tensor, original: ArrayT) -> ArrayT:
    """`result` in the library of `original` (and on its device), with `result`'s own dtype."""
    if isinstance(original, torch.Tensor):
        return result.to(original.device)
    return result.cpu().numpy()


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


def _text_ranks(block: torch.Tensor, owner: torch.Tensor) -> torch.Tensor:
    return _count(block >= block.gather(1, owner[:, None]), 1)


def text_to_video_ranks(sim: ArrayT, video_of_caption: Owner | None = None) -> ArrayT:
    """The rank of its own video for every text, int64 (M,); all N columns compete, distractors too.

    Raises ArrayError for NaN, an empty matrix, or a `video_of_caption` that does not fit.
    """
    scores = matrix(sim)
    owner = owner_index(video_of_caption, len(scores), scores.shape[1], scores.device)
    return like(_text_ranks(scores, owner), sim)


def video_to_text_ranks(sim: ArrayT, video_of_caption: Owner | None = None, v2t: str = "c4c") -> ArrayT:
    """The rank of its own text for every captioned video, int64, in the order of `np.unique(video_of_caption)`.

    - `"c4c"`: each video's captions are pooled by maximum, then ranked among captioned videos (CLIP4Clip).
    - `"ce"`: the best rank of a video's captions among all captions (collaborative-experts). Its own
      captions do not compete with each other. R@1 agrees with `"c4c"`; R@5, R@10, MdR and MnR do not compare.

    Distractors have no text to find, hence no rank. Raises ArrayError as `text_to_video_ranks`, or for an
    unknown name.
    """
    check_convention(v2t)
    scores = matrix(sim)
    owner = owner_index(video_of_caption, len(scores), scores.shape[1], scores.device)
    captioned, group = owner.unique(return_inverse=True)
    block = scores if len(captioned) == scores.shape[1] else scores[:, captioned]
    columns = torch.arange(len(captioned), device=scores.device)
    return like(V2T_CONVENTIONS[v2t](block, group, columns, len(captioned)), sim)


def ranks_chunked(
    text: ArrayT,
    video: ArrayT,
    video_of_caption: Owner | None = None,
    v2t: str = "c4c",
    *,
    device: str | torch.device | None = None,
    block_bytes: int = 2**28,
) -> tuple[ArrayT, ArrayT]:
    """Both rank arrays of `text @ video.T` without holding the (M,N) matrix: for large galleries.

    text (M,D) and video (N,D) are normalised embeddings; a sum of streams is one product of concatenated vectors
    (`[w_1 t_1, w_2 t_2]` against `[v_1, v_2]`). A block of the matrix takes at most `block_bytes` (at least one row or
    column), the peak is about four times that, and each entry is computed twice, once per direction. Runs on `device`
    (default: where `text` is) in the embeddings' precision, half precision widened to float32.

    Returns (text-to-video, video-to-text) ranks, those of the plain functions on the matrix; where two scores differ
    by less than the rounding of a matrix product, a block and the whole matrix may order them differently.

    Raises ArrayError for embeddings that do not fit each other or are not finite, and as the plain functions.
    """
    check_convention(v2t)
    texts, videos = matrix(text, "text"), matrix(video, "video")
    if texts.shape[1] != videos.shape[1]:
        raise ArrayError(f"text is {texts.shape[1]} wide and video {videos.shape[1]}; both need one model's embeddings")
    if not (texts.isfinite().all() and videos.isfinite().all()):
        raise ArrayError("text or video embeddings contain infinite values; look for a broken model or store")
    if block_bytes < 1:
        raise ArrayError(f"block_bytes is {block_bytes}; pass a positive number of bytes")
    dtype = torch.promote_types(texts.dtype, videos.dtype)
    target = torch.device(device) if device is not None else texts.device
    texts, videos = texts.to(target, dtype), videos.to(target, dtype)
    owner = owner_index(video_of_caption, len(texts), len(videos), target)

    text_ranks = torch.empty(len(texts), dtype=torch.int64, device=target)
    for rows in _blocks(len(texts), block_bytes // (len(videos) * dtype.itemsize)):
        text_ranks[rows] = _text_ranks(texts[rows] @ videos.T, owner[rows])

    captioned, group = owner.unique(return_inverse=True)
    video_ranks = torch.empty(len(captioned), dtype=torch.int64, device=target)
    column_group = torch.arange(len(captioned), device=target)
    for columns in _blocks(len(captioned), block_bytes // (len(texts) * dtype.itemsize)):
        block = texts @ videos[captioned[columns]].T
        video_ranks[columns] = V2T_CONVENTIONS[v2t](block, group, column_group[columns], len(captioned))
    return like(text_ranks, text), like(video_ranks, text)


def _blocks(total: int, size: int) -> list[slice]:
    step = max(1, size)
    return [slice(start, start + step) for start in range(0, total, step)]
