"""LSMDC: tab-separated lists without header, repeated ids, one folder per film."""

from __future__ import annotations

from pathlib import Path

import pytest
from camoe.extract.datasets import VideoFile, load_dataset
from camoe.pipeline.errors import CamoeError

CLIP = "1004_Juno_00.00.32.161-00.00.34.773"
OTHER = "1004_Juno_00.01.00.000-00.01.02.000"
TEST = "0017_Pianist_00.00.46.540-00.00.48.890"


def row(clip: str, sentence: str) -> str:
    return "\t".join([clip, "00.00.32.161", "00.00.34.773", "00.00.32.161", "00.00.34.773", sentence])


def small(folder: Path) -> None:
    train = [row(CLIP, "SOMEONE walks."), row(CLIP, 'SOMEONE says "hi", and stops.'), row(OTHER, "He runs.")]
    (folder / "LSMDC16_annos_training.csv").write_text("\n".join(train) + "\nbroken line\n")
    (folder / "LSMDC16_challenge_1000_publictect.csv").write_text(row(TEST, "A train passes."))


def test_lists_and_folders_of_films(tmp_path) -> None:
    small(tmp_path)
    files = [VideoFile(f"1004_Juno/{CLIP}", tmp_path / f"{CLIP}.avi"), VideoFile(f"p/{TEST}", tmp_path / "t.avi")]
    captions, items = load_dataset("lsmdc", tmp_path, files, seed=0)
    assert captions.caption_id == [f"{TEST}#000", f"{CLIP}#000", f"{CLIP}#001"]
    assert captions.text[2] == 'SOMEONE says "hi", and stops.'
    assert captions.protocols["lsmdc"].tolist() == [3, 1, 1]
    assert [(item.id, item.start_s, item.end_s) for item in items] == [(TEST, None, None), (CLIP, None, None)]
    assert captions.skipped == {"not six columns": 1, "video not found: 1004_Juno_00.01.00.000-00.01.02.000": 1}
    assert captions.shortfall["lsmdc"] == {
        "expected": {"train captions": 101079, "val captions": 7408, "test videos": 1000, "test captions": 1000},
        "found": {"train captions": 2, "val captions": 0, "test videos": 1, "test captions": 1},
        "missing_videos": 1,
        "first_missing": [OTHER],
        "missing_files": ["LSMDC16_annos_val.csv"],
    }


def test_no_list(tmp_path) -> None:
    with pytest.raises(CamoeError, match=r"lacks LSMDC16_annos_training.csv, .* or LSMDC16_challenge"):
        load_dataset("lsmdc", tmp_path, None, seed=0)


def test_only_line_breaks_end_a_line(tmp_path) -> None:
    small(tmp_path)
    rows = f"{CLIP}\t0\t1\t0\t1\tone\u2028two\x0cthree\x85four\n"
    (tmp_path / "LSMDC16_annos_training.csv").write_text(rows)
    captions, _ = load_dataset("lsmdc", tmp_path, None)
    (text,) = (text for video, text in zip(captions.video_id, captions.text, strict=True) if video == CLIP)
    assert text.startswith("one\u2028two")
    assert "not six columns" not in captions.skipped
