"""Csv that spreadsheets open: no cell becomes a formula, and what was written is read back."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest
from camoe.pipeline.csv_text import csv_text, plain_cell, safe_cell
from camoe.pipeline.store.failures import read_failures, write_failures
from camoe.pipeline.store.schema import Failure
from camoe.pipeline.wording import visible
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
    assert [tuple(map(plain_cell, row)) for row in read] == [
        tuple(text.replace("\0", r"\u0000") for text in row) for row in rows
    ]


def test_nul_is_written_out() -> None:
    assert csv_text([("a\0b", "\0", "=\0")]) == r"a\u0000b,\u0000,'=\u0000" + "\n"


def test_failures_with_nul_bytes_are_read(tmp_path: Path) -> None:
    """A crash of the machine can leave a file's end as zeros."""
    (tmp_path / "w.csv").write_text("id,path,stage,reason\na,a.mp4,decode,broken\n\0\0\0\0")
    assert read_failures(tmp_path / "w.csv") == {"a": Failure("a", "a.mp4", "decode", "broken")}


@pytest.mark.parametrize("name", ["=HYPERLINK(1)", "-4wsuPCjDBc_5_15", "@SUM(A1)", "'=x", "plain"])
def test_failures_come_back_with_control_characters_written_out(name: str, tmp_path: Path) -> None:
    failure = Failure(name, f"{name}.mp4", "decode", "-1 is\r no\nsize")
    write_failures(tmp_path / "w.csv", {name: failure})
    assert read_failures(tmp_path / "w.csv") == {name: replace(failure, reason=visible(failure.reason))}
    cells = [cell for row in csv.reader(io.StringIO((tmp_path / "w.csv").read_text())) for cell in row]
    assert not any(cell.startswith(("=", "+", "-", "@")) for cell in cells)
