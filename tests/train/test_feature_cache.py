from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from camoe.pipeline.errors import CamoeError
from camoe.pipeline.store import FeatureStore
from camoe.train.config import TrainConfig
from camoe.train.data import hold_out_videos, load_features
from camoe.train.feature_cache import FeatureCache

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("counts", "settings"),
    [
        ({"train": 20, "val": 6, "test": 6}, {}),
        ({"train": 20, "val": 6, "test": 6}, {"strategy": "full", "streams": ("fusion", "action")}),
        ({"train": 20, "val": 6, "test": 6}, {"shuffle_frames": True, "seed": 3}),
        ({"train": 20, "test": 6}, {"seed": 4, "validation_fraction": 0.3}),
        ({"train": 20, "test": 6}, {"model": "zero-shot"}),
    ],
)
def test_a_cell_sees_what_its_single_run_loads(
    counts: dict[str, int], settings: dict[str, Any], store_maker: Callable[..., Path]
) -> None:
    path = str(store_maker("store.h5", subsets=counts))
    config = TrainConfig(features=(path,), **settings)
    cache = FeatureCache([path], protocol=None, allow_missing=False, device=CPU)
    cache.features(
        TrainConfig(features=(path,), seed=9, shuffle_frames=True).recipe.features
    )  # what came before does not matter
    ours = cache.features(config.recipe.features)
    store = FeatureStore.open(path)
    trains = config.model != "zero-shot"
    held_out = hold_out_videos(store, "own", config.validation_fraction, config.seed) if trains else []
    expected = load_features(
        store,
        config.strategies,
        shuffle_seed=config.shuffle_seed,
        protocol="own",
        device=CPU,
        held_out=held_out,
    )
    assert (ours.video_ids, ours.caption_ids, ours.shape) == (expected.video_ids, expected.caption_ids, expected.shape)
    for name in ("frames", "mask", "video_of_caption", "subset"):
        torch.testing.assert_close(getattr(ours, name), getattr(expected, name), rtol=0, atol=0)
    for mine, theirs in zip(ours.texts, expected.texts, strict=True):
        torch.testing.assert_close(mine.embedding[mine.row], theirs.embedding[theirs.row], rtol=0, atol=0)


def test_videos_without_features_are_refused_unless_allowed(store_maker: Callable[..., Path]) -> None:
    subsets = {"train": 4, "val": 2, "test": 2}
    path = str(store_maker("store.h5", subsets=subsets, captions_per_video=1, without_features=("v0001", "v0007")))
    config = TrainConfig(features=(path,), strategy="full")
    with pytest.raises(CamoeError, match=r"2 of 8 captions .* without features"):
        FeatureCache([path], protocol=None, allow_missing=False, device=CPU).features(config.recipe.features)
    allowed = FeatureCache([path], protocol=None, allow_missing=True, device=CPU).features(config.recipe.features)
    assert allowed.missing == {"train": 1, "val": 0, "test": 1}
