"""What a search by a model costs: milliseconds a query, and bytes that an index must keep of every video.

Measured on made-up features of a store's shape by the model as it is built, untrained: cost depends on its parts alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import torch

from ..train.model import build_model
from ..train.recipe import Recipe
from ..train.run_folder import Run
from ..train.scorer import FeatureShape, Scorer
from ..train.words import with_words
from .names import SEARCH_SIZES
from .result import Cost

MOST_NUMBERS = 1 << 25
"""Numbers that the encoded videos of a measurement may be (128 MB); more videos are extrapolated."""
BYTES_A_NUMBER = 2
"""In an index of float16."""
REPEATS, PATIENCE_SECONDS = 5, 0.25


@dataclass(frozen=True)
class SearchCost:
    """`milliseconds` of comparing one query with so many videos, by `SEARCH_SIZES`, on one CPU thread in float32.

    `measured` is the most videos that were there: a larger size is extrapolated in proportion. CLIP's reading of the
    query and of the videos are the same for every model and are not counted. Both are none where no query can be scored
    alone, so that no search uses the model.
    """

    milliseconds: dict[int, float] | None
    measured: int
    bytes_per_video: int | None

    def extrapolated(self, size: int) -> bool:
        """Whether that size was more than what was measured."""
        return size > self.measured


@torch.no_grad()
def search_cost(recipe: Recipe, shape: FeatureShape) -> SearchCost:
    """The cost of searching by a recipe's model on a store of that shape; takes about a second at most.

    Every video is as long as the longest, as is the query where the model reads words: what is measured is the upper
    bound on such a store.
    """
    model = build_model(recipe, shape).eval()
    if model.transductive:
        return SearchCost(None, 0, None)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _measured(model, _query(recipe, shape), shape)
    finally:
        torch.set_num_threads(threads)


def told_cost(parameters: int, train_seconds: float, search: SearchCost | None) -> Cost:
    """The record of what a run cost to train and costs to search by, the latter where it was measured."""
    if search is None or search.milliseconds is None:
        return Cost(parameters, train_seconds, None if search is None else search.bytes_per_video)
    times = {str(size): round(milliseconds, 4) for size, milliseconds in search.milliseconds.items()}
    beyond = tuple(str(size) for size in search.milliseconds if search.extrapolated(size))
    return Cost(parameters, train_seconds, search.bytes_per_video, times, beyond)


def run_cost(run: Run, *, measured: bool) -> Cost:
    """What a run cost to train and costs to search by; its search is timed where that is asked, in about a second."""
    shape, record = run.shape, run.record
    if measured:
        return told_cost(record["parameters"], record["train_seconds"], search_cost(run.config.recipe, shape))
    return Cost(record["parameters"], record["train_seconds"], index_bytes(run.model, shape))


@torch.no_grad()
def index_bytes(model: Scorer, shape: FeatureShape) -> int | None:
    """Bytes of float16 that an index keeps of a video of that shape; none where no search uses the model."""
    if model.transductive:
        return None
    video, _ = _encoded_video(model, shape)
    return video.numel() * BYTES_A_NUMBER


def _measured(model: Scorer, query: torch.Tensor, shape: FeatureShape) -> SearchCost:
    video, mask = _encoded_video(model, shape)
    numbers = video.numel()
    fits = max(1, min(SEARCH_SIZES[-1], MOST_NUMBERS // numbers))
    milliseconds = {}
    for size in SEARCH_SIZES:
        count = min(size, fits)
        videos = video.repeat(1, count, *[1] * (video.dim() - 2))
        masks = mask.repeat(count, 1)
        seconds = _seconds(lambda: model.mix(model.compare(model.encode_texts(query), videos, masks)))  # noqa: B023
        milliseconds[size] = 1000 * seconds * size / count
    return SearchCost(milliseconds, fits, numbers * BYTES_A_NUMBER)


def _encoded_video(model: Scorer, shape: FeatureShape) -> tuple[torch.Tensor, torch.Tensor]:
    """One video as the model keeps it, `(S or 1, 1, …)`, and its mask; a gallery repeats it."""
    frames = torch.randn(1, shape.max_frames, shape.embed_dim, generator=torch.Generator().manual_seed(0))
    mask = torch.ones(1, shape.max_frames, dtype=torch.bool)
    device = model.logit_scale.device
    return model.encode_videos(frames.to(device), mask.to(device)), mask


def _query(recipe: Recipe, shape: FeatureShape) -> torch.Tensor:
    """One query as the model reads it, a sentence a stream."""
    generator = torch.Generator().manual_seed(1)
    sentences = torch.randn(len(recipe.architecture.streams), 1, shape.embed_dim, generator=generator)
    if not recipe.architecture.facts.words:
        return sentences
    words = torch.randn(1, shape.max_words, shape.embed_dim, generator=generator)
    return with_words(sentences, words, torch.ones(1, shape.max_words, dtype=torch.bool))


def _seconds(run: Callable[[], object]) -> float:
    """The median of some runs after a first one; fewer where they take long."""
    run()
    taken: list[float] = []
    while len(taken) < REPEATS and sum(taken) < PATIENCE_SECONDS:
        started = time.perf_counter()
        run()
        taken.append(time.perf_counter() - started)
    return median(taken)
