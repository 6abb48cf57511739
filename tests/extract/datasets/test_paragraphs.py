"""DiDeMo and ActivityNet: the sentences of a video joined, ids with suffixes and prefixes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from camoe.extract.datasets import VideoFile, load_dataset
from camoe.pipeline.errors import CamoeError

MOV, DOT = "10015567@N08_3655084291_f8b58fb9ba.mov", "12090392@N02_13482799053_87ef417396."


def didemo(folder: Path) -> None:
    train = [
        {"video": MOV, "description": "a dog runs ", "times": [[0, 0]], "num_segments": 6},
        {"video": DOT, "description": "a cat", "times": [[1, 2]]},
        {"video": MOV, "description": "the dog stops", "times": [[4, 5]]},
    ]
    (folder / "train_data.json").write_text(json.dumps(train))
    (folder / "test_data.json").write_text(json.dumps([{"video": "x.3gp", "description": "a hat", "times": []}]))


def test_didemo(tmp_path) -> None:
    didemo(tmp_path)
    files = [
        VideoFile(MOV.removesuffix(".mov"), tmp_path / "1.mov"),
        VideoFile(f"sub/{DOT.rstrip('.')}", tmp_path / "2.mp4"),
        VideoFile("y", tmp_path / "y.mp4"),
    ]
    captions, items = load_dataset("didemo", tmp_path, files, seed=0)
    assert dict(zip(captions.video_id, captions.text, strict=True)) == {
        MOV.removesuffix(".mov"): "a dog runs the dog stops",
        DOT.rstrip("."): "a cat",
    }
    assert [(item.start_s, item.end_s) for item in items] == [(0.0, 30.0)] * 3
    shortfall = captions.shortfall["didemo"]
    assert shortfall["found"] == {"train videos": 2, "val videos": 0, "test videos": 0}
    assert shortfall["first_missing"] == ["x.3gp"]
    assert shortfall["missing_files"] == ["val_data.json"]


@pytest.mark.parametrize("name", [MOV, MOV + ".mp4", DOT + ".mp4", DOT.rstrip(".") + ".avi"])
def test_didemo_files_with_and_without_their_suffix(tmp_path, name: str) -> None:
    didemo(tmp_path)
    path = tmp_path / name
    captions, _ = load_dataset("didemo", tmp_path, [VideoFile(path.stem, path)], seed=0)
    assert captions.video_id == [name.split(".")[0]]


def test_activitynet(tmp_path) -> None:
    entry = {
        "duration": 82.7,
        "timestamps": [[0.8, 19.8], [17.3, 60.8]],
        "sentences": ["A woman kneels. ", " She bows."],
    }
    (tmp_path / "train.json").write_text(json.dumps({"v_QOlSCBRmfWY": entry}))
    (tmp_path / "val_1.json").write_text(json.dumps({"v_uqiMw7tQ1Cc": entry, "v_absent": entry}))
    files = [VideoFile("a/v_QOlSCBRmfWY", tmp_path / "1.mkv"), VideoFile("uqiMw7tQ1Cc", tmp_path / "2.mp4")]
    captions, items = load_dataset("activitynet", tmp_path, files, seed=0)
    assert captions.caption_id == ["QOlSCBRmfWY#000", "uqiMw7tQ1Cc#000"]
    assert captions.text == ["A woman kneels. She bows."] * 2
    assert captions.protocols["activitynet"].tolist() == [1, 3]
    assert [item.id for item in items] == ["QOlSCBRmfWY", "uqiMw7tQ1Cc"]
    assert captions.shortfall["activitynet"]["expected"] == {"train videos": 10009, "test videos": 4917}
    assert captions.shortfall["activitynet"]["first_missing"] == ["absent"]
    assert load_dataset("activitynet", tmp_path, None, seed=0)[0].video_id == ["QOlSCBRmfWY", "absent", "uqiMw7tQ1Cc"]


@pytest.mark.parametrize(("dataset", "name"), [("didemo", "train_data.json"), ("activitynet", "train.json")])
def test_wrong_content(tmp_path, dataset: str, name: str) -> None:
    with pytest.raises(CamoeError, match=r"--captions: n"):
        load_dataset(dataset, tmp_path, None, seed=0)
    (tmp_path / name).write_text('[{"clip": 3}]')
    with pytest.raises(CamoeError, match=f"{name} is not "):
        load_dataset(dataset, tmp_path, None, seed=0)


def test_published_sizes_are_no_shortfall(tmp_path) -> None:
    for subset, count in (("train", 8392), ("val", 1065), ("test", 1004)):
        rows = [{"video": f"{subset}{n}.mov", "description": "a dog", "times": []} for n in range(count)]
        (tmp_path / f"{subset}_data.json").write_text(json.dumps(rows))
    assert load_dataset("didemo", tmp_path, None, seed=0)[0].shortfall == {}
