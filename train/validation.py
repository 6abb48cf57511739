"""Validation while training: R@1 in both directions, ties counted as misses."""

from __future__ import annotations

import torch

from ..pipeline.ranking import ranks_chunked, text_to_video_ranks, video_to_text_ranks
from .data import Features
from .encoder import CHUNK, Encoder, is_product
from .scorer import Scorer

MATRIX_BYTES = 2**32
"""Above this size the scores of `val` are computed in blocks, and never held whole, where they are products."""


@torch.no_grad()
def score_matrix(
    model: Scorer, features: Features, captions: torch.Tensor, videos: torch.Tensor, *, chunk: int = CHUNK
) -> torch.Tensor:
    """The model's scores `(M, N)` for rows of captions and of videos, in their order; texts and videos encoded once.

    A transductive model gets all captions at once, as its scores depend on which are there.
    """
    chunk_of_texts = max(1, len(captions)) if model.transductive else chunk
    encoded_videos = torch.cat(
        [model.encode_videos(features.frames_of(part), features.mask[part]) for part in videos.split(chunk)], dim=1
    )
    mask = features.mask[videos]
    return torch.cat(
        [
            model.mix(model.compare(model.encode_texts(features.texts_of(part)), encoded_videos, mask))
            for part in captions.split(chunk_of_texts)
        ]
    )


def recall_at_1(sim: torch.Tensor, owner: torch.Tensor) -> tuple[float, float]:
    """Percent of texts whose video ranks first, and of videos whose best text ranks first (a tie is a miss).

    `sim (M, N)`; `owner (M,)` the column of each text's video, each column owned by at least one text. With several
    captions a video, a video finds a text if its own captions' maximum beats that of every other video's captions.
    """
    text_to_video = text_to_video_ranks(sim, owner)
    video_to_text = video_to_text_ranks(sim, owner)
    return _first(text_to_video), _first(video_to_text)


def _first(ranks: torch.Tensor) -> float:
    return 100 * (ranks == 1).double().mean().item()


def validate(model: Scorer, features: Features) -> dict[str, float]:
    """R@1 of both directions on `val`, and their mean, `R@1`, which selects the epoch."""
    captions, videos = features.captions_of("val"), features.videos_of("val")
    owner = torch.searchsorted(videos, features.video_of_caption[captions])
    if 4 * len(captions) * len(videos) > MATRIX_BYTES and is_product(model):
        encoder = Encoder(model, features)
        text, video = encoder.texts(captions, weighted=True), encoder.videos(videos)
        text_to_video, video_to_text = map(_first, ranks_chunked(text, video, owner))
    else:
        text_to_video, video_to_text = recall_at_1(score_matrix(model, features, captions, videos), owner)
    return {"t2v_R@1": text_to_video, "v2t_R@1": video_to_text, "R@1": (text_to_video + video_to_text) / 2}
