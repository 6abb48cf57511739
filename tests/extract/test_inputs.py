"""What an extraction works on where videos were dropped from the store."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from camoe.extract.datasets import CaptionSet, VideoFile
from camoe.extract.inputs import gone_files, without_dropped


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
