from __future__ import annotations

import json
from pathlib import Path

from camoe.train.cli import main
from camoe.train.summary import summarise


def test_an_incomplete_copy_is_told_in_words(store_path: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    main(["--features", str(store_path), "--out", str(run), "--epochs", "1", "--model", "meanp"], standalone_mode=False)
    record = json.loads((run / "run.json").read_text())
    assert "INCOMPLETE" not in summarise(run, record)
    record["shortfall"] = {"missing_videos": 1, "first_missing": ["v0009"]}
    assert "INCOMPLETE: this copy of the data set has 1 videos not found (first: v0009)" in summarise(run, record)
