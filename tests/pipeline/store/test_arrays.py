"""A store of arrays in memory: what goes in comes out, and trains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from camoe.pipeline.errors import CamoeError
from camoe.pipeline.store import FeatureStore, store_from_arrays
from camoe.pipeline.store.verify import verify_store
from camoe.train import TrainConfig, fit, load_run


def world(count: int = 10, width: int = 8) -> dict[str, Any]:
    draw = np.random.default_rng(0)
    names = [f"v{number}" for number in range(count)]
    return {
        "frames": [draw.normal(size=(2 + number % 3, width)).astype(np.float32) for number in range(count)],
        "video_ids": names,
        "captions": [f"sentence {number % 15}" for number in range(2 * count)],
        "caption_videos": names * 2,
        "texts": draw.normal(size=(2 * count, width)).astype(np.float32),
        "model": "mine",
    }


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    given = world()
    store = store_from_arrays(tmp_path / "mine.h5", **given)

    assert store.video_ids == given["video_ids"]
    assert store.frame_count.tolist() == [len(array) for array in given["frames"]]
    for stored, count, array in zip(store.frames(), store.frame_count, given["frames"], strict=True):
        np.testing.assert_array_equal(stored[:count], array.astype(np.float16))
        assert not stored[count:].any()
    order = [
        given["caption_videos"].index(name) + 10 * int(key[-1])
        for name, key in zip(store.caption_video_ids, store.caption_ids, strict=True)
    ]
    table = store.text_table("full", "fusion")
    first = [given["captions"].index(given["captions"][row]) for row in order]
    np.testing.assert_array_equal(table.embedding[table.row], given["texts"][first].astype(np.float16))
    assert store.caption_texts == [given["captions"][row] for row in order]
    assert sorted(np.bincount(store.protocols["own"])) == [0, 2, 2, 16]
    assert verify_store([tmp_path / "mine.h5"], lambda *_: None) == []


def test_it_trains(tmp_path: Path) -> None:
    given = world()
    splits = {name: ("train", "val", "test")[max(0, number - 7)] for number, name in enumerate(given["video_ids"])}
    store = store_from_arrays(tmp_path / "mine.h5", **given, splits=splits)
    assert np.bincount(store.protocols["own"]).tolist() == [0, 16, 2, 2]

    run = fit(TrainConfig(features=(str(tmp_path / "mine.h5"),), out=tmp_path / "run", streams=("fusion",), epochs=1))
    assert load_run(run).protocol == "own"


def test_streams_and_equal_lengths(tmp_path: Path) -> None:
    given = world() | {"frames": np.ones((10, 3, 8), np.float16)}
    texts = {("full", "fusion"): given["texts"], ("muw", "entity"): given["texts"] + 1}
    store = store_from_arrays(tmp_path / "folder", **given | {"texts": texts})
    assert store.text_names == [("full", "fusion"), ("muw", "entity")]
    assert store.frames().shape == (10, 3, 8)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"video_ids": ["v0"] * 10}, "video_ids must name each of the 10 arrays of frames once"),
        ({"frames": [np.ones((2, 8))] * 9 + [np.ones((2, 7))]}, r"the frames of 'v9' must be floats \(T, 8\)"),
        ({"frames": [np.ones((2, 8))] * 9 + [np.ones((0, 8))]}, r"the frames of 'v9' must be floats \(T, 8\)"),
        ({"frames": [np.ones((2, 8))] * 9 + [np.full((2, 8), np.nan)]}, "video 'v9' has frames that are not finite"),
        ({"texts": np.ones((3, 8))}, r"texts full/fusion must be floats \(20, 8\), not float64 \(3, 8\)"),
        ({"captions": ["a"]}, "there are 1 captions and 20 caption_videos"),
        ({"caption_videos": ["other"] * 20}, "caption_videos names 'other', which is not among video_ids"),
        ({"splits": {"v0": "train"}}, "splits does not say what 'v1' is"),
        ({"splits": dict.fromkeys(world()["video_ids"], "dev")}, "subset 'dev' does not exist"),
        ({"model": " "}, "model is empty"),
        ({"logit_scale": 0}, "logit_scale must be a positive number, not 0"),
    ],
)
def test_what_does_not_fit_is_named(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(CamoeError, match=said):
        store_from_arrays(tmp_path / "mine.h5", **world() | change)
    assert list(tmp_path.iterdir()) == []


def test_a_store_is_not_replaced(tmp_path: Path) -> None:
    store_from_arrays(tmp_path / "mine.h5", **world())
    before = FeatureStore.open(tmp_path / "mine.h5").content_hash
    with pytest.raises(CamoeError, match="exists already"):
        store_from_arrays(tmp_path / "mine.h5", **world(4))
    assert FeatureStore.open(tmp_path / "mine.h5").content_hash == before
