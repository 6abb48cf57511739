"""Subtitles beside their videos: which file is about which video, and what cannot be read."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from camoe.extract.datasets import CaptionSet, VideoFile, VideoItem, load_dataset, subtitles
from camoe.pipeline.errors import CamoeError

CUES = "1\n00:00:01,000 --> 00:00:02,500\nHello there.\n\n2\n00:00:08,000 --> 00:00:09,000\nÇa va?\n"


def files(*ids: str) -> list[VideoFile]:
    return [VideoFile(name, Path("/videos") / f"{name}.mp4") for name in ids]


def load(folder: Path, videos: list[VideoFile] | None) -> tuple[CaptionSet, list[VideoItem]]:
    return load_dataset("subtitles", folder, videos)


def write(folder: Path, *names: str, content: str | bytes = CUES) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def test_cues_are_captions_of_their_windows(tmp_path: Path) -> None:
    write(tmp_path, "x/clip.en.srt")
    captions, items = load(tmp_path, files("x/clip", "other"))
    assert captions.caption_id == ["x/clip@1-2.5#000", "x/clip@8-9#000"]
    assert captions.text == ["Hello there.", "Ça va?"]
    assert captions.protocols["own"].tolist() == [1, 1]
    assert list(captions.sources) == ["x/clip.en.srt"]
    assert items == [
        VideoItem("other", Path("/videos/other.mp4")),
        VideoItem("x/clip@1-2.5", Path("/videos/x/clip.mp4"), 1.0, 2.5),
        VideoItem("x/clip@8-9", Path("/videos/x/clip.mp4"), 8.0, 9.0),
    ]


NAMES = ["clip.srt", "clip.VTT", "clip.mp4.srt", "sub/clip.pt-BR.srt", "clip.en_orig.srt", "clip.sdh.srt"]


@pytest.mark.parametrize("name", NAMES)
def test_names_of_subtitle_files(tmp_path: Path, name: str) -> None:
    write(tmp_path, name)
    assert set(load(tmp_path, files("clip"))[0].video_id) == {"clip@1-2.5", "clip@8-9"}
    assert set(load(tmp_path / name, None)[0].video_id) == {"clip@1-2.5", "clip@8-9"}


def test_a_video_whose_name_ends_like_a_language(tmp_path: Path) -> None:
    write(tmp_path, "clip.en.srt", "clip.srt", "clip.1.srt")
    captions, _ = load(tmp_path, files("clip", "clip.en"))
    assert {video.partition("@")[0] for video in captions.video_id} == {"clip", "clip.en"}
    assert captions.skipped == {"video not found: clip.1": 2}


def test_two_files_about_one_video(tmp_path: Path) -> None:
    write(tmp_path, "clip.de.srt", "clip.en.srt")
    with pytest.raises(CamoeError, match=r"clip.de.srt and \S+clip.en.srt are both subtitles of clip; take"):
        load(tmp_path, files("clip"))


def test_encodings(tmp_path: Path) -> None:
    write(tmp_path, "a.srt", content=CUES.encode("utf-16"))
    write(tmp_path, "b.srt", content=CUES.encode("utf-8-sig"))
    captions, _ = load(tmp_path, files("a", "b"))
    assert captions.text == ["Hello there.", "Ça va?"] * 2
    write(tmp_path, "c.srt", "d.srt", content=CUES.encode("latin-1"))
    told = r"c.srt is not UTF-8 text \(.*\); save the file as UTF-8 \(1 more file cannot be read either\)"
    with pytest.raises(CamoeError, match=told):
        load(tmp_path, files("a", "b"))


def test_what_cannot_be_used_is_counted_and_named(tmp_path: Path) -> None:
    write(tmp_path, "a.srt")
    write(tmp_path, "b.srt", content="")
    write(tmp_path, "c.vtt", content="WEBVTT\n\n00:05.000 --> 00:04.000\nback\n\n00:01.000 --> 00:02.000\n[music]\n")
    captions, items = load(tmp_path, files("a", "b", "c"))
    assert captions.skipped == {
        "subtitles without a cue; first: b.srt": 1,
        "nothing is said in the cue; first: c.vtt at 1 s": 1,
        "start and end are no window; first: c.vtt: 5 to 4": 1,
    }
    assert [item.id for item in items] == ["a@1-2.5", "a@8-9", "b", "c"]


def test_more_than_any_subtitles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "a.srt")
    monkeypatch.setattr(subtitles, "MAX_BYTES", 64)
    with pytest.raises(CamoeError, match=r"a.srt is above 0 MB, which no subtitles are"):
        load(tmp_path, files("a"))


def test_no_subtitles(tmp_path: Path) -> None:
    with pytest.raises(CamoeError, match=r"--captions \S+ holds no subtitles \(looked for .srt, .vtt\)"):
        load(tmp_path, files("a"))


def test_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "webvtt", None)
    with pytest.raises(CamoeError, match=r"reading subtitles needs webvtt, .*pip install 'camoe\[subtitles\]'"):
        load(tmp_path, files("a"))
