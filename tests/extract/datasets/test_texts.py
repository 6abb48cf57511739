"""Benchmarks' files whose captions are no texts are refused by name, and nothing is written out as Python would."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from camoe.extract.datasets import load_dataset
from camoe.pipeline.errors import CamoeError


@pytest.mark.parametrize(
    ("dataset", "name", "content"),
    [
        ("msrvtt", "MSRVTT_data.json", {"sentences": [{"video_id": "v1", "caption": {"text": "a man"}}]}),
        ("msrvtt", "MSR_VTT.json", {"annotations": [{"image_id": "v1", "caption": 3}]}),
        ("didemo", "train_data.json", [{"video": "v1", "description": ["a man"], "times": []}]),
        ("activitynet", "train.json", {"v_v1": {"sentences": [None]}}),
        ("msvd", "captions_msvd.json", {"v1": [{"caption": "a man"}]}),
        ("msvd", "captions_msvd.json", {"v1": [["a", 3]]}),
    ],
)
def test_captions_that_are_no_texts(dataset: str, name: str, content: object, tmp_path: Path) -> None:
    (tmp_path / name).write_text(json.dumps(content))
    for subset in ("train", "val", "test"):
        (tmp_path / f"{subset}_list.txt").write_text("v1\n")
    with pytest.raises(CamoeError, match=rf"{name}: a \w+ of (v_)?v1 is .*, and not a text; is the file whole"):
        load_dataset(dataset, tmp_path, None)
