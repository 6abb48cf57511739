"""What the settings say of captions reaches whoever reads them."""

from __future__ import annotations

from pathlib import Path

import pytest
from camoe.extract.config import ExtractConfig
from camoe.extract.inputs import read_inputs
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
    ],
)
def test_settings_that_do_not_go_together(options: dict, message: str) -> None:
    with pytest.raises(CamoeError, match=message):
        ExtractConfig(**options)
