"""MSR-VTT: a full-size json in the published schema, beside the published lists where they are at hand."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import numpy as np
import pytest
from camoe.extract.datasets import VideoFile, load_dataset
from camoe.extract.datasets.base import subset_sizes
from camoe.pipeline.errors import CamoeError

SHARED = os.environ.get("CAMOE_SHARED")
needs_shared = pytest.mark.skipif(not SHARED, reason="CAMOE_SHARED is not set")


def lists() -> Path:
    return Path(SHARED or "") / "data" / "annotations" / "msrvtt"


def sentence(video: int, number: int) -> str:
    return f"caption {number} of clip {video}"


def full_size(folder: Path, tests: dict[str, str], variant: str) -> None:
    """10,000 videos with 19 or 20 captions, shuffled; a test video has its chosen sentence among them, twice."""
    rows = []
    for video in range(10_000):
        name = f"video{video}"
        texts = [sentence(video, number) for number in range(20 - video % 2)]
        if name in tests:
            texts[7] = texts[11] = tests[name]
        rows += [(name, text) for text in texts]
    random.Random(0).shuffle(rows)
    if variant == "sentences":
        content = {
            "info": {},
            "videos": [{"video_id": f"video{n}", "url": "u", "split": "train"} for n in range(10_000)],
            "sentences": [{"sen_id": n, "video_id": v, "caption": c} for n, (v, c) in enumerate(rows)],
        }
        (folder / "MSRVTT_data.json").write_text(json.dumps(content))
    else:
        content = {
            "images": [],
            "annotations": [{"image_id": v, "caption": c, "id": n} for n, (v, c) in enumerate(rows)],
        }
        (folder / "MSR_VTT.json").write_text(json.dumps(content))


def jsfusion(folder: Path, tests: dict[str, str]) -> None:
    rows = [f"ret{n},msr{v[5:]},{v},{text}" for n, (v, text) in enumerate(tests.items())]
    (folder / "MSRVTT_JSFUSION_test.csv").write_text("key,vid_key,video_id,sentence\n" + "\n".join(rows) + "\n")


@needs_shared
def test_published_lists_and_a_full_size_json(tmp_path) -> None:
    for path in lists().iterdir():
        (tmp_path / path.name).symlink_to(path)
    rows = (lists() / "MSRVTT_JSFUSION_test.csv").read_text().splitlines()[1:]
    tests = {row.split(",")[2]: row.split(",", 3)[3].strip('"') for row in rows}
    assert len(tests) == 1000
    full_size(tmp_path, tests, "sentences")
    captions, items = load_dataset("msrvtt", tmp_path, None, seed=0)
    assert items == []
    assert captions.shortfall == {}
    assert len(captions.text) == 195_000
    sizes = {name: subset_sizes(captions.video_id, codes) for name, codes in captions.protocols.items()}
    assert sizes["msrvtt-1ka-9k"] == {
        "train videos": 9000,
        "train captions": 9000 * 19 + 4500 + (500 - sum(int(video[5:]) % 2 == 0 for video in tests)),
        "test videos": 1000,
        "test captions": 1000,
    }
    assert sizes["msrvtt-1ka-7k"]["train videos"] == 7010
    assert sizes["msrvtt-1ka-7k"]["test captions"] == 1000
    assert {key: size for key, size in sizes["msrvtt-full"].items() if "videos" in key} == {
        "train videos": 6513,
        "val videos": 497,
        "test videos": 2990,
    }
    for place in np.flatnonzero(captions.protocols["msrvtt-1ka-9k"] == 3).tolist():
        assert captions.text[place] == tests[captions.video_id[place]]
        assert captions.protocols["msrvtt-full"][place] == 3


@needs_shared
def test_lists_alone_give_the_thousand_test_captions() -> None:
    captions, _ = load_dataset("msrvtt", lists(), None, seed=0)
    assert subset_sizes(captions.video_id, captions.protocols["msrvtt-1ka-9k"]) == {
        "test videos": 1000,
        "test captions": 1000,
    }
    assert captions.shortfall["msrvtt-1ka-9k"]["expected"] == {"train videos": 9000}
    assert captions.shortfall["msrvtt-1ka-9k"]["missing_files"] == ["MSRVTT_data.json"]
    assert captions.text[captions.video_id.index("video9770")] == "a person is connecting something to system"


@pytest.mark.parametrize("variant", ["sentences", "annotations"])
def test_rules_stand_in_for_lists(tmp_path, variant: str) -> None:
    """Without train lists: 9k is all but 1kA, 7k is video0 to video7009, full goes by number."""
    tests = {f"video{7010 + 2 * n}": f"Test  sentence {n}" for n in range(1000)}
    full_size(tmp_path, tests, variant)
    jsfusion(tmp_path, {video: text.lower().replace("  ", " ") for video, text in tests.items()})
    captions, _ = load_dataset("msrvtt", tmp_path, None, seed=0)
    assert captions.shortfall == {}
    assert len(captions.text) == 195_000
    nine = captions.protocols["msrvtt-1ka-9k"]
    assert {captions.video_id[place] for place in np.flatnonzero(nine == 3).tolist()} == set(tests)
    assert not {captions.video_id[place] for place in np.flatnonzero(nine == 1).tolist()} & set(tests)


def small(folder: Path) -> None:
    rows = [{"video_id": f"video{n}", "caption": f"a dog {n}"} for n in (0, 1, 6600, 7020, 7021)]
    (folder / "MSRVTT_data.json").write_text(json.dumps({"sentences": rows, "videos": []}))
    jsfusion(folder, {"video7020": "a dog 7020", "video7021": "a sentence that the json lacks"})


def test_a_part_of_the_videos_is_a_shortfall(tmp_path) -> None:
    small(tmp_path)
    files = [
        VideoFile(f"all/{name}", tmp_path / f"{name}.{suffix}")
        for name, suffix in [("video0", "mp4"), ("video7020", "webm"), ("extra", "mp4")]
    ]
    captions, items = load_dataset("msrvtt", tmp_path, files, seed=0)
    assert [item.id for item in items] == ["extra", "video0", "video7020"]
    assert captions.caption_id == ["video0#000", "video7020#000"]
    assert captions.skipped == {"video not found: video1, video6600, video7021": 4}
    assert captions.shortfall["msrvtt-1ka-9k"] == {
        "expected": {"train videos": 9000, "test videos": 1000, "test captions": 1000},
        "found": {"train videos": 1, "test videos": 1, "test captions": 1},
        "missing_videos": 3,
        "first_missing": ["video1", "video6600", "video7021"],
        "missing_files": [],
    }


def test_a_test_sentence_that_the_json_lacks_is_added(tmp_path) -> None:
    small(tmp_path)
    captions, _ = load_dataset("msrvtt", tmp_path, None, seed=0)
    assert (
        dict(zip(captions.caption_id, captions.text, strict=True))["video7021#001"] == "a sentence that the json lacks"
    )
    assert captions.protocols["msrvtt-1ka-7k"].tolist() == [1, 1, 1, 3, 0, 3]
    assert captions.protocols["msrvtt-full"].tolist() == [1, 1, 2, 3, 3, 0]


def test_without_the_test_list(tmp_path) -> None:
    small(tmp_path)
    (tmp_path / "MSRVTT_JSFUSION_test.csv").unlink()
    captions, _ = load_dataset("msrvtt", tmp_path, None, seed=0)
    assert captions.protocols["msrvtt-full"].tolist() == [1, 1, 2, 3, 3]
    assert captions.protocols["msrvtt-1ka-9k"].tolist() == [0] * 5
    assert captions.shortfall["msrvtt-1ka-9k"]["missing_files"] == ["MSRVTT_JSFUSION_test.csv"]


def test_the_json_under_another_name(tmp_path) -> None:
    small(tmp_path)
    other = (tmp_path / "MSRVTT_data.json").rename(tmp_path / "mine.json")
    assert len(load_dataset("msrvtt", other, None, seed=0)[0].text) == 6


def test_what_is_wrong_is_said(tmp_path) -> None:
    with pytest.raises(CamoeError, match=r"lacks MSRVTT_data.json or MSRVTT_JSFUSION_test.csv; give the folder"):
        load_dataset("msrvtt", tmp_path, None, seed=0)
    (tmp_path / "MSRVTT_data.json").write_text('{"sentences": [{"video": "video0"}]}')
    with pytest.raises(CamoeError, match=r"MSRVTT_data.json has neither sentences of video_id and caption nor"):
        load_dataset("msrvtt", tmp_path, None, seed=0)
    (tmp_path / "MSRVTT_data.json").write_text('{"sentences": [{"video_id": "video0", "caption": "x"}]}')
    (tmp_path / "MSRVTT_JSFUSION_test.csv").write_text("key,video\nx,y\n")
    with pytest.raises(CamoeError, match=r"MSRVTT_JSFUSION_test.csv lacks the column video_id or sentence"):
        load_dataset("msrvtt", tmp_path, None, seed=0)


def test_only_line_breaks_end_a_line_of_the_test_list(tmp_path) -> None:
    jsfusion(tmp_path, {"video7020": "a man\u2028walks\x0cby", "video7021": "a dog"})
    captions, _ = load_dataset("msrvtt", tmp_path, None)
    assert captions.text[0].startswith("a man\u2028walks")
    assert captions.video_id == ["video7020", "video7021"]


def test_the_authors_files(tmp_path) -> None:
    """`train_val_videodatainfo.json` and `test_videodatainfo.json`, given as a folder or as the first of them."""
    for name, ids in (("train_val", (0, 6513, 7009)), ("test", (7010, 7020))):
        content = {
            "info": {},
            "videos": [{"video_id": f"video{n}", "split": "x", "id": n} for n in ids],
            "sentences": [{"sen_id": n, "video_id": f"video{n}", "caption": f"a clip {n}"} for n in ids],
        }
        (tmp_path / f"{name}_videodatainfo.json").write_text(json.dumps(content))
    for place in (tmp_path, tmp_path / "train_val_videodatainfo.json"):
        captions, _ = load_dataset("msrvtt", place, None)
        assert captions.video_id == ["video0", "video6513", "video7009", "video7010", "video7020"]
        assert captions.protocols["msrvtt-full"].tolist() == [1, 2, 2, 3, 3]
        assert sorted(captions.sources) == ["test_videodatainfo.json", "train_val_videodatainfo.json"]
