"""Own caption files as people and their programs write them: what is clearly meant is read, the rest is refused."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from camoe.pipeline.captions.collector import CaptionSet
from camoe.pipeline.captions.names import VideoFile
from camoe.pipeline.captions.own import FORMATS, read_own
from camoe.pipeline.errors import CamoeError


def files(*names: str) -> list[VideoFile]:
    return [VideoFile(name.rpartition(".")[0] or name, Path("/videos") / name) for name in names]


def read(folder: Path, content: object, videos: list[VideoFile] | None = None, name: str = "c.json") -> CaptionSet:
    path = folder / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return read_own(path, videos, format=FORMATS[path.suffix])[0]


def refused(folder: Path, content: object, name: str = "c.json", videos: list[VideoFile] | None = None) -> str:
    with pytest.raises(CamoeError) as caught:
        read(folder, content, videos, name)
    return str(caught.value)


# -- json


@pytest.mark.parametrize(
    "content",
    [
        {"v1": ["one man", "two men"]},
        {"v1": {"captions": ["one man", "two men"]}},
        {"v1": [{"caption": "one man"}, {"text": "two men"}]},
        {"v1": {"sentences": [{"sentence": "one man"}, "two men"]}},
        [{"video_id": "v1", "caption": ["one man", "two men"]}],
        [{"file_name": "v1.mp4", "captions": ["one man"]}, {"vid": "v1", "description": "two men", "id": 7}],
        [{"id": "v1", "caption": {"text": "one man"}}, {"video_path": "clips/v1.mp4", "caption": "two men"}],
        {"info": {}, "captions": [{"video": "v1", "caption": "one man"}, {"video": "v1", "caption": "two men"}]},
        {
            "images": [{"id": 3, "file_name": "v1.mp4"}],
            "annotations": [{"id": 1, "image_id": 3, "caption": "one man"}, {"image_id": 3, "caption": "two men"}],
        },
    ],
)
def test_forms_of_json_that_mean_the_same(tmp_path: Path, content: object) -> None:
    found = read(tmp_path, content, files("v1.mp4"))
    assert (found.video_id, found.text) == (["v1", "v1"], ["one man", "two men"])
    assert found.skipped == {}


def test_one_object(tmp_path: Path) -> None:
    assert read(tmp_path, {"video_id": "v1", "caption": "one man"}).video_id == ["v1"]
    assert read(tmp_path, {"v1": {"caption": "two men"}}).text == ["two men"]


def test_windows_and_splits_inside_objects(tmp_path: Path) -> None:
    content = {
        "v1": {"caption": "a", "split": "train"},
        "v2": {"caption": "b", "split": "validate"},
        "v3": [{"caption": "c", "start": 1, "end": "0:02", "split": "test"}],
    }
    found = read(tmp_path, content)
    assert found.video_id == ["v1", "v2", "v3@1-2"]
    assert found.protocols["own"].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"v1": {"words": "x"}}, "c.json: entry 'v1': {'words': 'x'} is no caption; it has none of the keys caption,"),
        ({"v1": 3}, "c.json: entry 'v1': the caption is 3, and not a text"),
        ({"v1": True}, "entry 'v1': the caption is True, and not a text"),
        ({"v1": ["a", 3.5]}, "entry 'v1': the caption is 3.5, and not a text"),
        ({"v1": [["a", "man"], ["b"]]}, "entry 'v1': the caption ['a', 'man'] is a list in a list; give a text or a"),
        ({"v1": {"caption": {"text": "a"}}}, "entry 'v1': the caption {'text': 'a'} is an object in an object"),
        (["a man"], "c.json: entry 1 is 'a man', and not an object with a video and a caption"),
        ([{"video_id": ["a"], "caption": "x"}], "entry 1: the video is ['a'], and not a name"),
        ({"video_id": ["a"], "caption": ["x"]}, "c.json holds columns; save one object a caption"),
        ({"video_id": {"0": "a"}, "caption": {"0": "x"}}, "c.json holds columns; save one object a caption"),
        ('{"v1": "a", "v2": "b", "v1": "c"}', "the key 'v1' comes twice in one object; give its captions as one list"),
        ({"v_x": {"sentences": ["a"], "timestamps": [[0, 1]]}}, "looks like ActivityNet's sentences and timestamps"),
        (
            {"sentences": [{"video_id": "video7", "caption": "x"}]},
            "looks like MSR-VTT's annotations; add --dataset msr",
        ),
        ('[{"video_id": "\\ud800", "caption": "x"}]', r"the video id '\ud800' is not valid Unicode"),
        ('{"v1": "a \\ud800 man"}', r"a caption of v1: 'a \ud800 man' is not valid Unicode"),
        ('[{"video_id": "a", "caption": "x", "caption_id": "\\ud800"}]', r"caption_id '\ud800' is not valid Unicode"),
        ("[" + "9" * 5000 + "]", "c.json is not JSON (Exceeds the limit"),
    ],
)
def test_what_is_no_caption_is_refused_by_name(tmp_path: Path, content: object, message: str) -> None:
    assert message in refused(tmp_path, content)


def test_nothing_is_no_caption(tmp_path: Path) -> None:
    found = read(tmp_path, '{"v1": null, "v2": [], "v3": NaN, "v4": ["a", ""]}')
    assert found.text == ["a"]
    assert found.skipped == {"empty caption": 4}


@pytest.mark.parametrize("name", ["c.jsonl", "c.json"])
def test_one_object_a_line(tmp_path: Path, name: str) -> None:
    lines = '{"video_id": "v1", "caption": "a\u2028b"}\n\n{"video_id": "v2", "caption": ["c", "d"]}\n'
    assert read(tmp_path, lines, name=name).text == ["a\u2028b", "c", "d"]
    assert f"{name} line 2 is not JSON" in refused(tmp_path, '{"video_id": "v1", "caption": "a"}\n{"vide\n', name)


# -- csv


@pytest.mark.parametrize(
    "header", ["file_name", "video_path", "path", "vid", "id", "Video_Name", "file", "videoid", "video_file"]
)
def test_spellings_of_a_header(tmp_path: Path, header: str) -> None:
    assert read(tmp_path, f"{header},text\nclips/v1.mp4,a man\n", files("v1.mp4"), "c.csv").video_id == ["v1"]


def test_a_path_goes_before_an_id(tmp_path: Path) -> None:
    assert read(tmp_path, "id,path,caption\n7,v1.mp4,a man\n", name="c.csv").video_id == ["v1"]


@pytest.mark.parametrize("first", ["v1.mp4,dog", "v1,a man runs"])
def test_no_header_where_there_is_no_doubt(tmp_path: Path, first: str) -> None:
    found = read(tmp_path, f"{first}\nv2,a cat\n", name="c.csv")
    assert (found.video_id, len(found.text)) == (["v1", "v2"], 2)


def test_a_header_that_is_not_understood(tmp_path: Path) -> None:
    message = refused(tmp_path, "clip,words\nv1,a man\n", "c.csv")
    assert message.startswith(
        "c.csv has no column 'video_id' (its columns are clip, words); it may be called video_id,"
    )
    assert "file_name" in message


@pytest.mark.parametrize(
    ("cell", "texts"),
    [
        ("\"['one', 'two']\"", ["one", "two"]),
        ('"[""one"", ""two""]"', ["one", "two"]),
        ("\"{'caption': 'one'}\"", ["one"]),
        ("[music] a man sings", ["[music] a man sings"]),
        ("[music]", ["[music]"]),
        ("'=one", ["=one"]),
        ("'-one", ["-one"]),
        ("'one' he said", ["'one' he said"]),
    ],
)
def test_cells(tmp_path: Path, cell: str, texts: list[str]) -> None:
    assert read(tmp_path, f"video_id,caption\nv1,{cell}\n", name="c.csv").text == texts


@pytest.mark.parametrize("cell", ['"[1, 2]"', "\"{'a', 'b'}\"", "\"[['a'], ['b']]\"", "[7]"])
def test_cells_that_mean_nothing_clear(tmp_path: Path, cell: str) -> None:
    message = refused(tmp_path, f"video_id,caption\nv1,a man\nv1,{cell}\n", "c.csv")
    assert message.startswith("c.csv line 3: the caption ")


@pytest.mark.parametrize("word", ["nan", "NULL", "None", "N/A", "<NA>"])
def test_cells_without_a_value(tmp_path: Path, word: str) -> None:
    rows = f"video_id,caption,start,end,split\nv1,{word},,,\nv2,a man,{word},{word},{word}\n{word},a cat,,,\n"
    found = read(tmp_path, rows, name="c.csv")
    assert (found.video_id, found.text) == (["v2"], ["a man"])
    assert found.skipped == {
        "no caption (nan, NULL or the like); first: c.csv line 2": 1,
        "no video id; first: c.csv line 4": 1,
    }


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "utf-16-le", "utf-16-be"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    mark = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}.get(encoding, b"")
    rows = mark + "video_id,caption\r\nv1,ein Café\r\n".encode(encoding)
    assert read(tmp_path, rows, name="c.csv").text == ["ein Café"]
    text = mark + '{"v1": "ein Café"}'.encode(encoding)
    assert read(tmp_path, text).text == ["ein Café"]
    assert "UTF-8" in refused(tmp_path, mark + "video_id,caption\nv1,é\n".encode(encoding) + b"\xd8", "c.csv")


@pytest.mark.parametrize("separator", ["\u2028", "\x0b", "\x0c", "\x85", "\x1c"])
def test_only_line_breaks_end_a_line(tmp_path: Path, separator: str) -> None:
    found = read(tmp_path, f"video_id,caption\nv1,one{separator}two\nv2,three\n", name="c.csv")
    assert found.video_id == ["v1", "v2"]
    assert found.text[0].startswith("one")
    assert found.text[0].endswith("two")


# -- names


def test_accents_of_either_form_find_their_file(tmp_path: Path) -> None:
    composed, split = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    for here, there in ((composed, split), (split, composed)):
        found = read(tmp_path, f"video_id,caption\n{here}.mp4,a man\n", files(f"{there}.mp4"), "c.csv")
        assert found.video_id == [there]
    both = files(f"{composed}.mp4", f"{split}.mp4")
    rows = f"video_id,caption\n{composed},a man\n{split},a cat\n"
    assert read(tmp_path, rows, both, "c.csv").video_id == sorted([composed, split])


def test_videos_that_are_not_there_are_named(tmp_path: Path) -> None:
    rows = "video_id,caption\nv1,a man\n" + "".join(f"w{n},a cat\n" for n in range(10))
    found = read(tmp_path, rows, files("v1.mp4"), "c.csv")
    assert found.skipped == {"video not found: w0, w1, w2, …": 10}


def test_two_ids_that_are_one(tmp_path: Path) -> None:
    rows = "video_id,caption,start,end\na,a man,1,2\na@1-2,a cat,,\n"
    message = refused(tmp_path, rows, "c.csv", files("a.mp4", "a@1-2.mp4"))
    assert "the window 1-2 of /videos/a.mp4 and the file /videos/a@1-2.mp4 have one id ('a@1-2')" in message
    assert "have one id" in refused(tmp_path, rows, "c.csv")
    only = "video_id,caption,start,end\na,a man,1,2\n"
    assert "have one id" in refused(tmp_path, only, "c.csv", files("a.mp4", "a@1-2.mp4"))


def test_own_caption_ids(tmp_path: Path) -> None:
    rows = "video_id,caption,caption_id\nv1,a man,x\nv1,a cat,\nv2,a dog,x\n"
    assert read(tmp_path, rows, name="c.csv").caption_id == ["v1#001", "x", "x"]
    message = refused(tmp_path, rows + "v2,a cow,x\n", "c.csv")
    assert message == "two captions of video v2 have the caption_id 'x'; make them differ"


def test_rows_are_counted_as_they_stand_in_the_file(tmp_path: Path) -> None:
    rows = "video_id,caption\nv2,a man\nv1,\nv1,a cat\nv1\nv1,a cat\nv0,\"['x', 'y']\"\n"
    found = read(tmp_path, rows, name="c.csv")
    assert (found.video_id, found.row) == (["v0", "v0", "v1", "v2"], [5, 6, 2, 0])


# -- damage

CSV = "video_id,caption,start,end,split\nv1,a man,0,2.5,train\nv2,\"a cat, red\",,,val\nv3,\"['x', 'y']\",,,test\n"
JSON = json.dumps({"v1": ["a man", {"text": "two", "start": 1}], "v2": {"captions": ["é", "x"]}, "v3": "a dog"})


LINES = '{"id": 1, "text": "x"}\n'


@pytest.mark.soak
@pytest.mark.parametrize(("name", "content"), [("c.csv", CSV), ("c.json", JSON), ("c.jsonl", LINES)])
def test_mutants_are_read_or_refused(
    name: str,
    content: str,
    tmp_path: Path,
    mutants: Callable[..., Iterator[bytes]],
    soak_count: Callable[[int, int], int],
) -> None:
    """No other error, and nothing that is no text becomes a caption."""
    for number, mutant in enumerate(mutants(content.encode() * 3, soak_count(250, 1000), seed=7)):
        videos = files("v1.mp4", "v2.mp4", "v3.mp4") if number % 2 else None
        try:
            found = read(tmp_path, mutant, videos, name)
        except CamoeError as error:
            assert len(str(error)) < 1000  # noqa: PT017
        else:
            assert all((text and text.isprintable()) or "\n" in text for text in found.text)
            assert not any(text.startswith(("['", "{'")) and text[-1] in "]}" for text in found.text)
            assert len(set(zip(found.video_id, found.caption_id, strict=True))) == len(found.text)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "c.csv",
            "bears.mp4,a bear walks,train\nbunny.mp4,a bunny,test\n",
            "c.csv has no header: its first line is 'bears.mp4, a bear walks, train'; put a line with the names of the "
            "columns above it, such as video_id,caption,split",
        ),
        (
            "c.csv",
            "video_id\tcaption\na\tb\n",
            "c.csv has tabs between its cells; name it c.tsv, or save it with commas",
        ),
        ("c.tsv", "video_id,caption\na,b\n", "c.tsv has commas between its cells; name it c.csv, or save it with tabs"),
        ("c.csv", "video_id;caption\na;b\n", "c.csv has semicolons between its cells; save it with commas"),
        ("c.csv", "video_id,caption\n", "c.csv has a header and nothing below it; add a line for each caption"),
        ("c.json", "[]", "c.json holds no captions"),
        (
            "c.csv",
            "Film,Words\na,b\n",
            "c.csv has no column 'video_id' (its columns are Film, Words); it may be called ",
        ),
        (
            "c.csv",
            "video_id,caption,start,end\na,b,5,3\n",
            "(1 left out: start and end are no window; first: c.csv line 2",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(CamoeError) as caught:
        read(tmp_path, text, name=name)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\x89HDF\r\n\x1a\n\xff\xff", "an HDF5 file, such as a feature store"),
        (b"\x00\x00\x00\x18ftypmp42\xff\xfe", "a video"),
        (b"PK\x03\x04\xff\xfe", "a zip archive, such as an Excel workbook or an .npz"),
    ],
)
@pytest.mark.parametrize("name", ["c.csv", "c.json", "c.jsonl"])
def test_a_file_of_another_kind_is_named(tmp_path: Path, head: bytes, kind: str, name: str) -> None:
    (tmp_path / name).write_bytes(head)
    with pytest.raises(CamoeError, match=rf"{name} is {kind}, and holds no captions that can be read; give a \.csv"):
        read_own(tmp_path / name, None, format="csv" if name == "c.csv" else "json")


def test_a_backslash_may_be_part_of_a_name(tmp_path: Path) -> None:
    text = "video_id,caption\nback\\slash.mp4,one\nback\\slash,two\nfolder\\clip.mp4,three\n"
    found = read(tmp_path, text, files("back\\slash", "folder/clip"), name="c.csv")
    assert found.video_id == ["back\\slash", "back\\slash", "folder/clip"]
