"""What is wrong with a JSON file of ours, in words for people."""

from __future__ import annotations

from pathlib import Path

import pytest
from camoe.pipeline.json_text import parse_json, read_json

WHOLE = b'{\n "epoch": 3,\n "name": "\xc3\xbc"\n}\n'


def test_what_is_whole(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(WHOLE)
    assert read_json(tmp_path / "x.json") == {"epoch": 3, "name": "ü"}
    with pytest.raises(OSError, match="No such file"):
        read_json(tmp_path / "y.json")


def test_wherever_a_byte_flips_the_line_is_told() -> None:
    said = set()
    for place in range(len(WHOLE)):
        for byte in (0xFF, 0, ord("x"), WHOLE[place] ^ 1):
            damaged = WHOLE[:place] + bytes([byte]) + WHOLE[place + 1 :]
            try:
                parse_json(damaged)
            except ValueError as error:
                said.add(str(error))
    assert said == {f"line {line} is not {what}" for line in (1, 2, 3, 4) for what in ("text", "JSON")}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b" \n", "it is empty"),
        (b"[" * 100_000, "it is nested too deep"),
        (b"1" * 5000, "it holds a number of too many"),
    ],
)
def test_what_is_no_line(content: bytes, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        parse_json(content)
