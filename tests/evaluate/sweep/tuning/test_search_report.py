"""What a search leaves beside a sweep's tables."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from camoe.evaluate.sweep.tuning.report import file_names
from camoe.pipeline.atomic import write_atomic


def named(*names: str) -> list[str]:
    cells: list[Any] = [SimpleNamespace(name=name) for name in names]
    return file_names(cells)


def test_every_cell_has_a_file_of_its_own() -> None:
    assert named("loss=dsl, gate=full", "a/b", "...") == ["loss=dsl-gate=full.yaml", "a-b.yaml", "cell.yaml"]
    assert named("a", "a-2", "a!", "A") == ["a.yaml", "a-2.yaml", "a-3.yaml", "A-4.yaml"]


def test_a_long_name_can_be_written(tmp_path: Path) -> None:
    for name in named("名" * 300, "名" * 301, "\U00020000" * 300):
        write_atomic(tmp_path / name, "")
    assert len(list(tmp_path.iterdir())) == 3
