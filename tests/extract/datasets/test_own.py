"""Own captions in csv and json: good files, bad files, splits."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from camoe.extract.datasets import CaptionSet, VideoFile, VideoItem, load_dataset
from camoe.pipeline.errors import CamoeError


def files(*ids: str) -> list[VideoFile]:
    return [VideoFile(name, Path("/videos") / f"{name}.mp4") for name in ids]


def load(
    folder: Path, content: str | bytes, videos: list[VideoFile] | None = None, name: str = "captions.csv", seed: int = 0
) -> tuple[CaptionSet, list[VideoItem]]:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return load_dataset("csv" if name.endswith(("csv", "tsv")) else "json", path, videos, seed=seed)


def test_two_columns_are_enough(tmp_path) -> None:
    captions, items = load(tmp_path, "video_id,caption\nb,a dog\na,a cat\nb,a red dog\n", files("a", "b", "c"))
    assert captions.caption_id == ["a#000", "b#000", "b#001"]
    assert captions.video_id == ["a", "b", "b"]
    assert captions.text == ["a cat", "a dog", "a red dog"]
    assert [item.id for item in items] == ["a", "b", "c"]
    assert items[0] == VideoItem("a", Path("/videos/a.mp4"))
    assert captions.skipped == captions.shortfall == {}
    assert list(captions.sources) == ["captions.csv"]


@pytest.mark.parametrize("header", ["video,sentence", " Video_ID , Caption", "filename,text", "video_id,description"])
def test_column_names(tmp_path, header: str) -> None:
    assert load(tmp_path, f"{header}\na,a cat\n")[0].text == ["a cat"]


@pytest.mark.parametrize("name", ["x/clip", "x/clip.mp4", "clip", "clip.MP4", "./x/clip.mp4", "x\\clip.mp4"])
def test_ids_with_suffix_or_as_paths(tmp_path, name: str) -> None:
    captions, _ = load(tmp_path, f"video_id,caption\n{name},a cat\n", files("x/clip", "y/other"))
    assert captions.video_id == ["x/clip"]


def test_dots_in_ids(tmp_path) -> None:
    captions, _ = load(tmp_path, "video_id,caption\na.1,one\na.2.mp4,two\n", files("a.1", "a.2"))
    assert captions.video_id == ["a.1", "a.2"]
    assert load(tmp_path, "video_id,caption\na.1,one\na.mp4,two\n")[0].video_id == ["a", "a.1"]


def test_ambiguous_name(tmp_path) -> None:
    with pytest.raises(CamoeError, match=r"video 'clip' could be x/clip or y/clip"):
        load(tmp_path, "video_id,caption\nclip,a cat\n", files("x/clip", "y/clip"))


def test_given_splits(tmp_path) -> None:
    content = "video_id,caption,split\na,one,train\nb,two,Validation\nc,three,test\nd,four,\n"
    captions, _ = load(tmp_path, content)
    assert captions.protocols["own"].tolist() == [1, 2, 3, 0]
    assert captions.protocols["own"].dtype == np.uint8
    with pytest.raises(CamoeError, match=r"captions.csv line 2: split 'tset' does not exist; use train, val, test"):
        load(tmp_path, "video_id,caption,split\na,one,tset\n")
    with pytest.raises(CamoeError, match=r"line 3: video a is in two splits"):
        load(tmp_path, "video_id,caption,split\na,one,train\na,two,test\n")


def test_split_by_seed_is_by_video(tmp_path) -> None:
    content = "video_id,caption\n" + "".join(f"v{n % 20:02d},caption {n}\n" for n in range(100))
    captions, _ = load(tmp_path, content, seed=1)
    codes = captions.protocols["own"]
    of_video = {video: set() for video in captions.video_id}
    for video, code in zip(captions.video_id, codes.tolist(), strict=True):
        of_video[video].add(code)
    assert all(len(found) == 1 for found in of_video.values())
    assert np.bincount(codes).tolist() == [0, 80, 10, 10]
    assert load(tmp_path, content, seed=1)[0].protocols["own"].tolist() == codes.tolist()
    assert load(tmp_path, content, seed=2)[0].protocols["own"].tolist() != codes.tolist()


def test_split_by_seed_takes_videos_with_files_and_captions(tmp_path) -> None:
    content = "video_id,caption\n" + "".join(f"v{n},caption\n" for n in range(10))
    captions, items = load(tmp_path, content, files("v1", "v4", "v7", "x"))
    assert sorted(captions.protocols["own"].tolist()) == [1, 2, 3]
    assert captions.skipped == {"video not found: v0, v2, v3, …": 7}
    assert captions.shortfall == {}
    assert len(items) == 4


def test_known_videos_keep_their_subset(tmp_path) -> None:
    """19 videos and one more, windows among them: only the new one is drawn, whatever the seed."""
    content = "video_id,caption,start,end\n" + "".join(f"v{n:02d},caption,{n},{n + 1}\n" for n in range(19))

    def split(text: str, seed: int, known: dict[str, int] | None) -> dict[str, int]:
        path = tmp_path / "captions.csv"
        path.write_text(text)
        videos = files(*(f"v{n:02d}" for n in range(25)))
        captions, _ = load_dataset("csv", path, videos, seed=seed, known_split=known)
        codes = captions.protocols["own"].tolist()
        return {video.partition("@")[0]: code for video, code in zip(captions.video_id, codes, strict=True)}

    before = split(content, 0, None)
    assert sorted(before.values()).count(1) == 15
    for seed in range(4):
        after = split(content + "v19,caption,,\n", seed, before)
        assert after == before | {"v19": 1}


def test_windows(tmp_path) -> None:
    content = "video_id,caption,start,end\na,one,0,2.5\na,two,00:01:00,01:10\na,again,0,2.5\nb,whole,,\nb,late,3,\n"
    captions, items = load(tmp_path, content, files("a", "b", "c"))
    assert list(zip(captions.video_id, captions.text, strict=True)) == [
        ("a@0-2.5", "one"),
        ("a@0-2.5", "again"),
        ("a@60-70", "two"),
        ("b", "whole"),
        ("b@3-", "late"),
    ]
    assert items == [
        VideoItem("a@0-2.5", Path("/videos/a.mp4"), 0.0, 2.5),
        VideoItem("a@60-70", Path("/videos/a.mp4"), 60.0, 70.0),
        VideoItem("b", Path("/videos/b.mp4")),
        VideoItem("b@3-", Path("/videos/b.mp4"), 3.0, None),
        VideoItem("c", Path("/videos/c.mp4")),
    ]


def test_windows_of_one_file_stay_in_one_subset(tmp_path) -> None:
    content = "video_id,caption,start,end\n" + "".join(f"v{n % 5},c{n},{n},{n + 1}\n" for n in range(50))
    captions, _ = load(tmp_path, content)
    subset_of: dict[str, set[int]] = {}
    for video, code in zip(captions.video_id, captions.protocols["own"].tolist(), strict=True):
        subset_of.setdefault(video.partition("@")[0], set()).add(code)
    assert sorted(map(len, subset_of.values())) == [1] * 5


@pytest.mark.parametrize("window", ["5,5", "5,2", "-1,2", "x,2", "0,inf"])
def test_bad_windows_are_counted(tmp_path, window: str) -> None:
    captions, _ = load(tmp_path, f"video_id,caption,start,end\na,one,{window}\na,two,0,1\n")
    shown = window.replace(",", " to ")
    assert captions.skipped == {f"start and end are no window; first: captions.csv line 2: {shown}": 1}


def test_what_is_skipped_is_counted(tmp_path) -> None:
    long = "word " * 3000
    content = (
        "video_id,caption\na,\na,   \na,...!?\na,a dog\na,a dog\n,a cat\nb,a dog\nb\nb,one, two\n"
        f'c,"one, ""two"""\nc,{long}\nzzz,a cat\nc,😀\n\n'
    )
    captions, _ = load(tmp_path, content, files("a", "b", "c"))
    assert captions.skipped == {
        "empty caption": 2,
        "only punctuation": 1,
        "duplicate row; first: captions.csv line 6": 1,
        "no video id; first: captions.csv line 7": 1,
        "too few cells; first: captions.csv line 9": 1,
        "too many cells (a comma outside quotes?); first: captions.csv line 10": 1,
        "cut to 8192 characters": 1,
        "video not found: zzz": 1,
    }
    assert [text[:20] for text in captions.text] == ["a dog", "a dog", 'one, "two"', "word word word word ", "😀"]
    assert len(captions.text[3]) == 8192


def test_control_characters_are_removed(tmp_path) -> None:
    captions, _ = load(tmp_path, "\ufeffvideo_id,caption\r\na,a \0do\x1bg\x07\r\n")
    assert captions.text == ["a dog"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("video_id,captoin\na,b\n", r"captions.csv has no column 'caption' \(its columns are video_id, captoin\)"),
        ("clip,caption\na,b\n", r"has no column 'video_id'"),
        ("video_id;caption\na;b\n", r"captions.csv has semicolons between its cells; save it with commas"),
        (
            "video_id\tcaption\na\tb\n",
            r"captions.csv has tabs between its cells; name it captions.tsv, or save it with commas",
        ),
        ("", r"captions.csv is empty"),
        ("video_id,caption\n", r"captions.csv has a header and nothing below it"),
        ("video_id,caption\na,...\n", r"no caption that can be used \(1 left out: only punctuation\)"),
        (b"video_id,caption\na,ok\na,caf\xe9\n", r"captions.csv line 3 is not UTF-8 text \(Latin-1\?\); save the file"),
        ('video_id,caption\na,"' + "never closed\nb,x\n" * 100, r"a quote is opened and never closed"),
        ('video_id,caption\na,"two bears\nb,a rabbit\n', r"near line 3: a quote is opened and never closed; check"),
        ('video_id,caption\na,"' + "x" * 200_000, r"a cell is longer than 131,072 characters; close the quote"),
    ],
)
def test_bad_files_say_what_is_wrong(tmp_path, content: str | bytes, message: str) -> None:
    with pytest.raises(CamoeError, match=message):
        load(tmp_path, content)


def test_no_caption_of_a_video_that_is_there(tmp_path) -> None:
    with pytest.raises(CamoeError, match=r"it asks for 'zebra', the folder has 1 video, such as 'a'"):
        load(tmp_path, "video_id,caption\nzebra,x\n", files("a"))


def test_tsv(tmp_path) -> None:
    assert load(tmp_path, "video_id\tcaption\na\tone, two\n", name="c.tsv")[0].text == ["one, two"]


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (json.dumps([{"video_id": "a", "caption": "one"}, {"video": "a", "text": "two"}]), "c.json"),
        (json.dumps({"a": ["one", "two"]}), "c.json"),
        ('{"video_id": "a", "caption": ["one", "two"]}\n\n', "c.jsonl"),
    ],
)
def test_json_forms(tmp_path, content: str, name: str) -> None:
    assert load(tmp_path, content, name=name)[0].text == ["one", "two"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[{"video_id": "a"}]', r"entry 1 has no 'caption' \(its keys are video_id\)"),
        ("[1", r"c.json is not JSON"),
        ("3", r"neither a list of objects nor an object"),
        ("[" * 100_000, r"c.json is not JSON"),
    ],
)
def test_bad_json(tmp_path, content: str, message: str) -> None:
    with pytest.raises(CamoeError, match=message):
        load(tmp_path, content, name="c.json")


def test_caption_ids_sort_in_order_beyond_a_thousand(tmp_path) -> None:
    captions, _ = load(tmp_path, "video_id,caption\n" + "".join(f"a,caption {n}\n" for n in range(1005)))
    assert captions.caption_id == sorted(captions.caption_id)
    assert captions.caption_id[-1] == "a#1004"
    assert captions.text == [f"caption {n}" for n in range(1005)]


def test_wrong_use(tmp_path) -> None:
    with pytest.raises(
        CamoeError, match=r"--dataset 'coco' does not exist; choose from csv, json, parquet, subtitles, msrvtt"
    ):
        load_dataset("coco", tmp_path, None, seed=0)
    with pytest.raises(CamoeError, match=r"nothing.csv does not exist"):
        load_dataset("csv", tmp_path / "nothing.csv", None, seed=0)
    with pytest.raises(CamoeError, match=r"is a folder; --dataset csv needs a file"):
        load_dataset("csv", tmp_path, None, seed=0)
