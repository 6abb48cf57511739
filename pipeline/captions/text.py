"""Text files as they are found: UTF-8 or UTF-16, and what of their content is kept."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import CamoeError
from ..file_kinds import PARQUET, file_kind
from ..regular import open_regular

MAX_CHARACTERS = 8192
"""Longest caption that is kept whole; CLIP reads far less."""

WANTED = "give a .csv, .tsv, .json, .jsonl or .parquet file"

_INVISIBLE = dict.fromkeys((*range(0x00, 0x09), *range(0x0E, 0x20), *range(0x7F, 0xA0), 0xFEFF))
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def encoding_of(path: Path) -> str:
    """UTF-16 where the file begins with its mark (spreadsheets save "Unicode text" so), else UTF-8."""
    with open_regular(path) as stream:
        return "utf-16" if stream.read(2) in _UTF16_MARKS else "utf-8-sig"


def read_lines(path: Path) -> Iterator[str]:
    """The lines of a text file with their ends, for `csv` and for one JSON a line; NUL characters are left out.

    Raises `CamoeError` naming the line that is no text.
    """
    try:
        with open(path, encoding=encoding_of(path), newline="") as stream:
            for line in stream:
                yield line.replace("\0", "")
    except UnicodeError as error:
        _refuse_other_kinds(path)
        if encoding_of(path) == "utf-16":
            raise CamoeError(f"{path.name} is damaged UTF-16 text; save the file as UTF-8") from error
        number = _line_of_bad_byte(path)
        raise CamoeError(f"{path.name} line {number} is not UTF-8 text (Latin-1?); save the file as UTF-8") from error
    except OSError as error:
        raise CamoeError(f"--captions {path} cannot be read: {error.strerror}") from error


def _refuse_other_kinds(path: Path) -> None:
    kind = file_kind(path)
    if kind == PARQUET:
        raise CamoeError(f"{path} is a parquet file; name it {path.with_suffix('.parquet').name}")
    if kind is not None:
        raise CamoeError(f"{path} is {kind}, and holds no captions that can be read; {WANTED}")


def _line_of_bad_byte(path: Path) -> int:
    with open_regular(path) as stream:
        for number, line in enumerate(stream, start=1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return number
    return 0


def read_text(path: Path) -> str:
    """A whole text file; raises `CamoeError` if it is none."""
    try:
        return path.read_text(encoding=encoding_of(path))
    except UnicodeError as error:
        _refuse_other_kinds(path)
        place = f" ({error.reason} at byte {error.start})" if isinstance(error, UnicodeDecodeError) else ""
        raise CamoeError(f"{path.name} is not UTF-8 text{place}; save the file as UTF-8") from error
    except OSError as error:
        raise CamoeError(f"{path} cannot be read: {error.strerror}") from error


def text_lines(path: Path) -> list[str]:
    """The lines of a text file without their ends; only line breaks end one, not the other separators of Unicode."""
    return read_text(path).split("\n")


def read_json(path: Path) -> Any:
    """The content of a JSON file; raises `CamoeError` if it is none."""
    return parse_json(read_text(path), path.name)


def parse_json(text: str, where: str) -> Any:
    """The value of a JSON text; raises `CamoeError` naming `where` if it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:  # a number of too many digits is a plain ValueError
        raise CamoeError(f"{where} is not JSON ({error})") from error


def clean_caption(text: str) -> tuple[str, str]:
    """The caption without control characters, and what is to be told of it; an empty caption is not used."""
    text = text.translate(_INVISIBLE).strip()
    if not text:
        return "", "empty caption"
    told = f"cut to {MAX_CHARACTERS} characters" if len(text) > MAX_CHARACTERS else ""
    text = text[:MAX_CHARACTERS]
    if not any(letter.isalnum() or unicodedata.category(letter) == "So" for letter in text):
        return "", "only punctuation"
    return text, told


def check_storable(text: str, what: str) -> None:
    """Raises `CamoeError` for text that UTF-8 cannot write, such as half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise CamoeError(f"{what} {text[:80]!r} is not valid Unicode (half of a surrogate pair); correct it") from None
