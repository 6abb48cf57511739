"""The gap between training and validation: how much of what a run learnt it learnt by heart."""

from __future__ import annotations

import torch

from ..train.scoring import ModelScorer
from ..train.validation import score_matrix
from .metrics import retrieval_metrics
from .result import Gap, PerDirection

MOST_VIDEOS = 1000


def train_val_gap(scorer: ModelScorer, v2t: str, seed: int = 0) -> Gap | None:
    """Raw R@1 (percent) on equally many `train` and `val` videos; None where the store lacks either.

    A gallery's size decides how hard it is: as many videos of either subset are drawn by seed as the smaller one has,
    at most `MOST_VIDEOS`.
    """
    features = scorer.features
    count = min(MOST_VIDEOS, *(len(features.videos_of(subset)) for subset in ("train", "val")))
    if not count:
        return None
    found = {}
    for subset in ("train", "val"):
        videos, captions = features.videos_of(subset), features.captions_of(subset)
        chosen = torch.randperm(len(videos), generator=torch.Generator().manual_seed(seed))[:count]
        gallery = videos[chosen.to(videos.device)].sort().values
        captions = captions[torch.isin(features.video_of_caption[captions], gallery)]
        owner = torch.searchsorted(gallery, features.video_of_caption[captions])
        metrics = retrieval_metrics(score_matrix(scorer.model, features, captions, gallery).cpu(), owner.cpu(), v2t)
        found[subset] = PerDirection(metrics["t2v"]["R@1"], metrics["v2t"]["R@1"])
    return Gap(count, found["train"], found["val"])
