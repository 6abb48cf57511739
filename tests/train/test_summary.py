from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from camoe.train.cli import main
from camoe.train.run_folder import load_run
from camoe.train.summary import summarise


def test_an_incomplete_copy_is_told_in_words(store_path: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    main(["--features", str(store_path), "--out", str(run), "--epochs", "1", "--model", "meanp"], standalone_mode=False)
    whole = load_run(run)
    assert "INCOMPLETE" not in summarise(whole)
    short = replace(whole, record=whole.record | {"shortfall": {"missing_videos": 1, "first_missing": ["v0009"]}})
    assert "INCOMPLETE: this copy of the data set has 1 video not found (first: v0009)" in summarise(short)
