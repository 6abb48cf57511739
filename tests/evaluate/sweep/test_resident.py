from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from camoe.evaluate.sweep.resident import Resident
from camoe.pipeline.errors import CamoeError
from camoe.pipeline.store import FeatureStore
from camoe.train.config import TrainConfig
from camoe.train.data import hold_out_videos, load_features

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
    counts: dict[str, int], settings: dict[str, Any], random_store_maker: Callable[..., Path]
) -> None:
    path = str(random_store_maker("store.h5", counts))
    config = TrainConfig(features=(path,), **settings)
    resident = Resident([path], protocol=None, allow_missing=False, device=CPU)
    resident.features(TrainConfig(features=(path,), seed=9, shuffle_frames=True))  # what came before does not matter
    ours = resident.features(config)
    store = FeatureStore.open(path)
    trains = config.model != "zero-shot"
    held_out = hold_out_videos(store, "own", config.validation_fraction, config.seed) if trains else []
    expected = load_features(store, config, protocol="own", device=CPU, held_out=held_out)
    assert (ours.video_ids, ours.caption_ids, ours.shape) == (expected.video_ids, expected.caption_ids, expected.shape)
    for name in ("frames", "mask", "video_of_caption", "subset"):
        torch.testing.assert_close(getattr(ours, name), getattr(expected, name), rtol=0, atol=0)
    for mine, theirs in zip(ours.texts, expected.texts, strict=True):
        torch.testing.assert_close(mine.embedding[mine.row], theirs.embedding[theirs.row], rtol=0, atol=0)


def test_videos_without_features_are_refused_unless_allowed(store_maker: Callable[..., Path]) -> None:
    eye = torch.eye(8).tolist()
    subsets = ["train"] * 4 + ["val"] * 2 + ["test"] * 2
    path = str(store_maker("store.h5", eye, eye, range(8), subsets, without_features=[1, 7]))
    config = TrainConfig(features=(path,), strategy="full")
    with pytest.raises(CamoeError, match=r"2 of 8 captions .* without features"):
        Resident([path], protocol=None, allow_missing=False, device=CPU).features(config)
    allowed = Resident([path], protocol=None, allow_missing=True, device=CPU).features(config)
    assert allowed.missing == {"train": 1, "val": 0, "test": 1}
