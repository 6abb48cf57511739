"""What an extraction works on: what the settings say of captions arrives, and dropped videos stay out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from camoe.extract.config import ExtractConfig
from camoe.extract.datasets import CaptionSet, VideoFile
from camoe.extract.inputs import gone_files, read_inputs, without_dropped
from camoe.pipeline.errors import CamoeError

SRT = "00:00:01,000 --> 00:00:02,000\nwe take\n\n00:00:02,000 --> 00:00:03,000\nthe eggs\n"


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    folder = tmp_path / "videos"
    folder.mkdir()
    (folder / "clip.mp4").touch()
    (folder / "clip.srt").write_text(SRT)
    return folder


def test_subtitles(videos: Path) -> None:
    def items(**options: object) -> list[str]:
        config = ExtractConfig(videos=videos, captions=videos, dataset="subtitles", **options)
        return [item.id for item in read_inputs(config, None).items]

    assert items() == ["clip@1-3"]
    assert items(subtitle_seconds=0) == ["clip@1-2", "clip@2-3"]
    assert ExtractConfig(videos=videos, captions=videos / "clip.srt").dataset_name == "subtitles"


def test_names_of_columns(videos: Path) -> None:
    (videos / "notes.ndjson").write_text('{"clip": "clip.mp4", "said": "we take the eggs"}')
    config = ExtractConfig(videos=videos, captions=videos / "notes.ndjson", caption_columns="video=clip, caption=said")
    captions = read_inputs(config, None).captions
    assert captions is not None
    assert captions.text == ["we take the eggs"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"captions": "c.csv", "subtitle_seconds": 5}, "subtitle_seconds is about subtitles, and the captions are csv"),
        ({"captions": "c.srt", "subtitle_seconds": -1}, "subtitle_seconds must be from 0 to 3600, not -1.0"),
        (
            {"captions": "c.srt", "caption_columns": "video=a"},
            "caption_columns names columns of a table of your own",
        ),
        ({"captions": "m", "dataset": "msvd", "caption_columns": "video=a"}, "and the captions are msvd; leave it out"),
        ({"videos": "v", "caption_columns": "video=a"}, "and the captions are none; leave it out"),
        ({"captions": "c.csv", "caption_columns": "a"}, "--caption-columns 'a' should be OURS=THEIRS"),
        ({"captions": "c.csv", "part": "1/2"}, "part shares out videos, and no videos are given"),
    ],
)
def test_settings_that_do_not_go_together(options: dict, message: str) -> None:
    with pytest.raises(CamoeError, match=message):
        ExtractConfig(**options)


def test_captions_in_the_place_of_a_store(videos: Path) -> None:
    (videos / "c.csv").write_text("video_id,caption\nclip,we take the eggs\n")
    with pytest.raises(CamoeError, match=r"c\.csv is a file of captions; name the store with into, and this with cap"):
        ExtractConfig(into=videos / "c.csv", captions=videos / "c.csv")


def test_a_benchmark_lacks_what_was_dropped() -> None:
    codes = np.array([1, 3, 3, 0], np.uint8)
    protocols = {"msvd": codes, "own": codes}
    captions = CaptionSet(["0", "0", "1", "0"], ["a", "b", "b", "c"], ["w", "x", "y", "z"], protocols, {}, {"empty": 1})
    found = without_dropped(captions, frozenset(["b", "c", "other"]))
    assert (found.video_id, found.text, found.protocols["msvd"].tolist()) == (["a"], ["w"], [1])
    assert found.skipped == {"empty": 1, "its video was dropped from the store": 3}
    assert list(found.shortfall) == ["msvd"]
    told = found.shortfall["msvd"]
    assert told["expected"] == {"test videos": 1, "test captions": 2}
    assert (told["found"], told["missing_videos"]) == ({"test videos": 0, "test captions": 0}, 1)
    assert told["first_missing"] == ["b"]
    assert without_dropped(captions, frozenset(["other"])) is captions


def test_dropped_videos_without_a_file_are_known_unless_another_has_the_name() -> None:
    files = [VideoFile("new/a", Path("new/a.mp4")), VideoFile("w", Path("w.mp4"))]
    found = gone_files({"a", "old/b", "w@0-3", "x@0-3"}, files)
    assert [file.id for file in found] == ["old/b", "x@0-3"]
