"""Own captions in parquet: as csv and json say them, and files that were made to harm."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from datetime import time, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from camoe.pipeline.captions import parquet_rows
from camoe.pipeline.captions.collector import CaptionSet
from camoe.pipeline.captions.columns import Columns
from camoe.pipeline.captions.own import FORMATS, read_own
from camoe.pipeline.csv_text import csv_text
from camoe.pipeline.errors import CamoeError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet


def read(path: Path, columns: str = "") -> CaptionSet:
    return read_own(path, None, format=FORMATS[path.suffix], columns=Columns.of(columns.split(",") if columns else ()))[
        0
    ]


def write(folder: Path, columns: dict[str, Any], **options: Any) -> Path:
    path = folder / "c.parquet"
    parquet.write_table(pa.table(columns), path, **options)
    return path


def refused(path: Path, columns: str = "") -> str:
    with pytest.raises(CamoeError) as caught:
        read(path, columns)
    return str(caught.value)


# -- one table, four ways to write it down

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="[{\0"), max_size=12).filter(
    lambda text: text.strip().casefold() not in ("nan", "null", "none", "n/a", "#n/a", "na", "<na>")
)
ROW = st.fixed_dictionaries(
    {
        "video_id": st.sampled_from(["a", "b.mp4", "x/c", "d 1", "é", ""]),
        "caption": st.lists(TEXT, min_size=1, max_size=3),
        "start": st.none() | st.floats(0, 9),
        "end": st.none() | st.floats(10, 19) | st.just(0.0),
    }
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(ROW, min_size=1, max_size=6))
def test_csv_json_and_parquet_say_the_same(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    cells = [
        [
            "" if value is None else str(value)
            for value in (row["video_id"], _cell(row["caption"]), row["start"], row["end"])
        ]
        for row in rows
    ]
    table = csv_text([["video_id", "caption", "start", "end"], *cells])
    (tmp_path / "c.csv").write_text(table, encoding="utf-8", newline="")
    (tmp_path / "c.json").write_text(json.dumps(rows), encoding="utf-8")
    (tmp_path / "c.ndjson").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    schema = pa.schema(
        {"video_id": pa.string(), "caption": pa.list_(pa.string()), "start": pa.float64(), "end": pa.float64()}
    )
    parquet.write_table(pa.Table.from_pylist(rows, schema), tmp_path / "c.parquet")
    first, *others = (_found(tmp_path / f"c.{suffix}") for suffix in ("csv", "json", "ndjson", "parquet"))
    assert others == [first] * 3


def _cell(captions: list[str]) -> str:
    return captions[0] if len(captions) == 1 else json.dumps(captions)


def _found(path: Path) -> Any:
    """What was read, without the names of places, which differ; or that nothing is left."""
    try:
        found = read(path)
    except CamoeError as error:
        return str(error).partition(" holds no caption")[1] or str(error)
    left_out = sorted((reason.partition(";")[0], count) for reason, count in found.skipped.items())
    return found.caption_id, found.video_id, found.text, found.protocols["own"].tolist(), left_out, found.rows


# -- what columns may be


def test_kinds_of_columns(tmp_path: Path) -> None:
    """Categories, numbers as ids, times of day, durations, objects with their own times, columns that are not read."""
    path = write(
        tmp_path,
        {
            "video_id": pa.array([7, 7, 8]),
            "caption": pa.array(["one man", "two men", "a dog"]).dictionary_encode(),
            "start": pa.array([time(0, 0, 1), time(0, 1, 0), None]),
            "end": pa.array([timedelta(seconds=2.5), timedelta(minutes=2), None]),
            "embedding": pa.array([[0.5], [], None]),
            "split": pa.array(["train", "train", None]),
        },
    )
    found = read(path)
    assert found.video_id == ["7@1-2.5", "7@60-120", "8"]
    assert found.protocols["own"].tolist() == [1, 1, 0]
    path = write(tmp_path, {"clip": ["a"], "said": [[{"text": "one", "end": 3.0}, {"text": "two", "end": None}]]})
    assert read(path, "video=clip,caption=said").video_id == ["a", "a@-3"]


def test_a_column_with_a_point_in_its_name(tmp_path: Path) -> None:
    path = write(tmp_path, {"meta.id": ["a"], "caption": ["one"], "meta": [{"id": "b"}]})
    assert read(path, "video=meta.id").video_id == ["a"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"video_id": ["a"]},
            "c.parquet has no column 'caption' (its columns are video_id); it may be called caption, ",
        ),
        (
            {"video_id": ["a"], "caption": [b"x"]},
            "c.parquet row 1: the caption is b'x', and not a text; correct it, or ",
        ),
        ({"video_id": [1.5], "caption": ["x"]}, "c.parquet row 1: the video is 1.5, and not a name; correct it, or "),
        ({"video_id": ["a"], "caption": [[["x"]]]}, "c.parquet row 1: the caption ['x'] is a list in a list; give "),
        ({"video_id": ["a", "a"], "caption": ["x", "y"], "split": ["train", "tset"]}, "c.parquet row 2: split 'tset' "),
        ({"video_id": ["a"], "caption": [float("nan")]}, "c.parquet holds no caption that can be used (1 left out: "),
        (
            {"video_id": pa.array([], "string"), "caption": pa.array([], "string")},
            "c.parquet has columns and no rows; ",
        ),
    ],
)
def test_tables_that_are_no_captions(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    assert refused(write(tmp_path, columns)).startswith(message)


# -- files that are none, and files made to harm


@pytest.mark.soak
def test_damaged_files_are_one_sentence(tmp_path: Path, mutants: Any, soak_count: Any) -> None:
    captions = {"video_id": [f"v{n}" for n in range(300)], "caption": [f"caption {n}" for n in range(300)]}
    path = write(tmp_path, captions, row_group_size=100)
    for content in [b"", b"PAR1", *mutants(path.read_bytes(), soak_count(20, 1000))]:
        path.write_bytes(content)
        told = ""
        try:
            assert len(read(path).text) <= 300
        except CamoeError as error:
            told = str(error)
        assert re.fullmatch(r"(c\.parquet .*)?", told)


def test_other_files_are_called_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "c.parquet").write_bytes(b"\x89HDF\r\n\x1a\n")
    assert (
        refused(tmp_path / "c.parquet") == "c.parquet is an HDF5 file, such as a feature store, and not a parquet file"
    )
    write(tmp_path, {"video_id": ["a\xff"], "caption": ["é"]}, compression="zstd").rename(tmp_path / "c.csv")
    (tmp_path / "c.csv").write_bytes((tmp_path / "c.csv").read_bytes() + b"\xff")
    assert refused(tmp_path / "c.csv") == f"{tmp_path}/c.csv is a parquet file; name it c.parquet"
    os.mkfifo(tmp_path / "d.parquet")
    assert refused(tmp_path / "d.parquet").endswith("d.parquet cannot be read: it is not a regular file")


@pytest.mark.parametrize("use_dictionary", [False, True])
def test_a_small_file_that_unfolds_beyond_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, use_dictionary: bool
) -> None:
    """Here to megabytes: compressed text, which is not unfolded to find that out; one text that every row means."""
    monkeypatch.setattr(parquet_rows, "UNSUSPECTED_BYTES", 1 << 20)
    huge = pa.array(["x" * (1 << 16)]).take(pa.array([0] * 512))
    if use_dictionary:
        huge = huge.dictionary_encode()
    path = write(
        tmp_path, {"video_id": ["a"] * 512, "caption": huge}, compression="zstd", use_dictionary=use_dictionary
    )
    if not use_dictionary:
        monkeypatch.setattr(parquet.ParquetFile, "iter_batches", None)
    told = (
        r"c.parquet holds \d{3,4} bytes that unfold to \d\d,\d{3},\d{3} and more, which no captions do; write it again"
    )
    assert re.fullmatch(told, refused(path))


def test_more_rows_than_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, {"video_id": ["a"] * 5, "caption": list("bcdef")})
    monkeypatch.setattr(parquet_rows, "MAX_ROWS", 4)
    assert refused(path) == "c.parquet has 5 rows; at most 4 captions are read"


# -- names of columns


def as_csv(*rows: list[str]) -> str:
    stream = io.StringIO()
    csv.writer(stream).writerows(rows)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("c.csv", as_csv(["id", "Clip Name", "text", "note"], ["9", "a", "url", "one man"])),
        ("c.json", json.dumps([{"id": 9, "Clip Name": "a", "text": "url", "note": "one man"}])),
        ("c.json", json.dumps({"a": [{"note": "one man"}]})),
        ("c.json", json.dumps({"a": [{"caption": "one man"}]})),
        ("c.json", json.dumps({"a": "one man"})),
        ("c.jsonl", '{"clip_name": "a", "note": ["one man"]}'),
        ("c.json", json.dumps({"clips": [{"clip name": "a", "note": "one man"}], "text": []})),
    ],
)
def test_given_names(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    found = read(tmp_path / name, "video=clip name,caption=note")
    assert (found.video_id, found.text) == (["a"], ["one man"])


@pytest.mark.parametrize("name", ["c.csv", "c.json", "c.parquet"])
def test_given_names_that_are_not_there(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, {"video_id": ["a"], "caption": ["one"]})
    (tmp_path / "c.csv").write_text("video_id,caption\na,one\n", encoding="utf-8")
    (tmp_path / "c.json").write_text('[{"video_id": "a", "caption": "one"}]', encoding="utf-8")
    path = tmp_path / name
    assert "'clip' (its " in refused(path, "video=clip")
    assert refused(path, "video=clip").endswith("which --caption-columns gives for video")
    assert "'subst'" in refused(path, "split=subst")


def test_names_of_columns_that_mean_nothing() -> None:
    for pair in ("clip=a", "video", "video=", "=x"):
        with pytest.raises(
            CamoeError, match=r"--caption-columns .* should be OURS=THEIRS, such as caption=text \(video, "
        ):
            Columns.of([pair])
    with pytest.raises(CamoeError, match="names the column of video_id twice"):
        Columns.of(["video=a", "video_id=b"])
