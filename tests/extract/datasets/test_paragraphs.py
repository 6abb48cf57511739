"""DiDeMo and ActivityNet: the sentences of a video joined, ids with suffixes and prefixes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from camoe.extract.datasets import VideoFile, load_dataset
from camoe.extract.files import find_videos
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
    assert [(item.start_s, item.end_s) for item in items] == [(0.0, 32.0)] * 3
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
    with pytest.raises(CamoeError, match=r"--captions .* lacks .*\.json; give the folder"):
        load_dataset(dataset, tmp_path, None, seed=0)
    (tmp_path / name).write_text('[{"clip": 3}]')
    with pytest.raises(CamoeError, match=f"{name} is not "):
        load_dataset(dataset, tmp_path, None, seed=0)


def didemo_of_full_size(folder: Path) -> None:
    for subset, count in (("train", 8395), ("val", 1065), ("test", 1004)):
        rows = [{"video": f"{subset}{n}.mov", "description": "a dog", "times": []} for n in range(count)]
        (folder / f"{subset}_data.json").write_text(json.dumps(rows))


def test_published_sizes_are_no_shortfall(tmp_path) -> None:
    didemo_of_full_size(tmp_path)
    assert load_dataset("didemo", tmp_path, None, seed=0)[0].shortfall == {}


def test_clip4clips_lists_are_read_where_they_lie_there(tmp_path) -> None:
    didemo_of_full_size(tmp_path)
    (tmp_path / "train_list.txt").write_text("".join(f"train{n}.mov\n" for n in range(3, 8395)))
    captions, _ = load_dataset("didemo", tmp_path, None, seed=0)
    assert captions.shortfall == {}
    codes = dict(zip(captions.video_id, captions.protocols["didemo"].tolist(), strict=True))
    assert [codes[f"train{n}"] for n in (0, 2, 3, 8394)] == [0, 0, 1, 1]
    assert sorted(captions.sources) == ["test_data.json", "train_data.json", "train_list.txt", "val_data.json"]


def test_didemo_files_as_their_owners_named_them(tmp_path) -> None:
    """A bare dot, `.3gpp` and `.null` end the names of 195 of its files; the folder is walked as a user's is."""
    names = ["1@N01_a.mov", "2@N02_b.", "3@N03_c.3gpp", "4@N04_d.null", "5@N05_e.MOV", "6@N06_f.AVI", "7.x@N07_g.3gp"]
    videos = tmp_path / "videos" / "part"
    videos.mkdir(parents=True)
    for name in [*names, "notes.txt", "README"]:
        (videos / name).write_bytes(b"x")
    rows = [{"video": name, "description": "a dog", "times": []} for name in names]
    (tmp_path / "train_data.json").write_text(json.dumps(rows))
    captions, items = load_dataset("didemo", tmp_path, find_videos(tmp_path / "videos"))
    assert captions.skipped == {}
    assert captions.video_id == [name.rpartition(".")[0] for name in names]
    assert [item.path.name for item in items] == names


def test_activitynet_ids_that_begin_with_the_prefix(tmp_path) -> None:
    """YouTube's id `v_UmAH95xls` is the key `v_v_UmAH95xls`; its file may have either name."""
    entry = {"duration": 1.0, "timestamps": [[0, 1]], "sentences": ["A woman kneels."]}
    (tmp_path / "train.json").write_text(json.dumps({"v_v_UmAH95xls": entry, "v_QOlSCBRmfWY": entry}))
    for number, names in enumerate(
        (["v_UmAH95xls.mp4", "QOlSCBRmfWY.mp4"], ["v_v_UmAH95xls.mp4", "v_QOlSCBRmfWY.mp4"])
    ):
        videos = tmp_path / str(number)
        videos.mkdir()
        for name in names:
            (videos / name).write_bytes(b"x")
        captions, items = load_dataset("activitynet", tmp_path, find_videos(videos))
        assert captions.skipped == {}
        assert captions.video_id == [item.id for item in items] == ["QOlSCBRmfWY", "v_UmAH95xls"]
