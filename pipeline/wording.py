"""Counts, hashes and names as people read them."""

from __future__ import annotations

import re

_SHOWN_DIGITS = 12
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What a terminal obeys instead of showing: control characters, and those that turn the direction of the line."""


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """`counted(1, "caption")` is `1 caption`, `counted(2, "caption")` is `2 captions`."""
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"


def short_hash(digest: str) -> str:
    """The first 12 digits of a SHA-256, enough to tell two apart: `fd2e3af5c0de…`."""
    kind, colon, digits = digest.rpartition(":")
    return kind + colon + (f"{digits[:_SHOWN_DIGITS]}…" if len(digits) > _SHOWN_DIGITS else digits)


def visible(text: str) -> str:
    """The text with what a terminal would obey written out, as JSON writes it: the escape character is `\\u001b`.

    Line feeds and tabs stay.
    """
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
