"""Where ranking was before validation shared it: the same functions, from `camoe.pipeline.ranking`."""

from __future__ import annotations

from ..pipeline.ranking import (
    V2T_CONVENTIONS,
    ArrayT,
    Owner,
    as_tensor,
    check_convention,
    like,
    matrix,
    owner_index,
    ranks_chunked,
    text_to_video_ranks,
    video_to_text_ranks,
)

__all__ = [
    "V2T_CONVENTIONS",
    "ArrayT",
    "Owner",
    "as_tensor",
    "check_convention",
    "like",
    "matrix",
    "owner_index",
    "ranks_chunked",
    "text_to_video_ranks",
    "video_to_text_ranks",
]
