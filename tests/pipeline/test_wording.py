"""Counts, hashes and names as people read them."""

from __future__ import annotations

import json

import pytest
from camoe.pipeline.wording import counted, short_hash, visible
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("number", "shown"), [(0, "0 captions"), (1, "1 caption"), (2, "2 captions"), (1000, "1000 captions")]
)
def test_counted(number: int, shown: str) -> None:
    assert counted(number, "caption") == shown


def test_another_plural() -> None:
    assert [counted(number, "entry", "entries") for number in (1, 2)] == ["1 entry", "2 entries"]


def test_short_hash() -> None:
    assert short_hash("0123456789abcdef" * 4) == "0123456789ab…"
    assert short_hash("imported:" + "ab" * 32) == "imported:abababababab…"
    assert short_hash("unknown") == "unknown"


def test_what_a_terminal_would_obey_is_written_out() -> None:
    assert visible("a\x1b[31mred\x07\x9b2J\x7f") == r"a\u001b[31mred\u0007\u009b2J\u007f"
    assert visible("evil\u202egpj.exe") == r"evil\u202egpj.exe"
    assert visible("half\udc80") == r"half\udc80"
    harmless = "a line\n\ttabbed, Ünïcode, 犬, back\\slash"
    assert visible(harmless) == harmless


@given(st.text())
def test_json_means_the_same_afterwards(text: str) -> None:
    assert json.loads(visible(json.dumps(text, ensure_ascii=False))) == text
    assert visible(visible(text)) == visible(text)
