"""Csv that spreadsheets open: no cell becomes a formula, and what was written is read back."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from camoe.pipeline.csv_text import csv_text, plain_cell, safe_cell
from camoe.pipeline.store.failures import Failure, append_failure, read_failures, write_failures
from hypothesis import given
from hypothesis import strategies as st

texts = st.text(st.characters(exclude_categories=["Cs"])) | st.text("'=+-@\t\r\nx", max_size=4)


@given(texts)
def test_no_cell_is_a_formula_and_none_is_lost(text: str) -> None:
    assert safe_cell(text)[:1] not in ("=", "+", "-", "@", "\t", "\r", "\n")
    assert plain_cell(safe_cell(text)) == text


@given(st.lists(st.tuples(texts, texts), max_size=4))
def test_rows(rows: list[tuple[str, str]]) -> None:
    read = csv.reader(io.StringIO(csv_text(rows), newline=""))
    assert [tuple(map(plain_cell, row)) for row in read] == rows


@pytest.mark.parametrize("name", ["=HYPERLINK(1)", "-4wsuPCjDBc_5_15", "@SUM(A1)", "'=x", "plain"])
def test_failures_come_back_as_they_were(name: str, tmp_path: Path) -> None:
    failure = Failure(name, f"{name}.mp4", "decode", "-1 is\r no\nsize")
    append_failure(tmp_path / "a.csv", failure)
    write_failures(tmp_path / "w.csv", {name: failure})
    for path in (tmp_path / "a.csv", tmp_path / "w.csv"):
        assert read_failures(path) == {name: failure}
        cells = [cell for row in csv.reader(io.StringIO(path.read_text())) for cell in row]
        assert not any(cell.startswith(("=", "+", "-", "@")) for cell in cells)
