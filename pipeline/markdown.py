"""Markdown made from texts that may hold anything: ids, paths, captions, names."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .wording import visible

_ENTITIES = {sign: f"&#{ord(sign)};" for sign in "&<>|~`$"}
"""Signs that not every renderer takes with a backslash."""
_SIGNS = re.compile(r"[\\*_\[\]#&<>|~`$]")


def plain(text: object) -> str:
    """A text that shows as it is within a line, a heading or a table's cell: nothing in it is Markdown or HTML."""
    line = " ".join(visible(str(text)).split())
    return _SIGNS.sub(lambda found: _ENTITIES.get(found[0], f"\\{found[0]}"), line)


def block(text: str, language: str = "") -> str:
    """A block of code, whatever is in it."""
    longest = max((len(ticks) for ticks in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{visible(text)}\n{fence}"


def table(head: Sequence[str], rows: Sequence[Sequence[object]], *, labels: int = 1) -> str:
    """A table whose cells show as they are; the first `labels` columns are texts, the others numbers."""
    lines = [head, [":--"] * labels + ["--:"] * (len(head) - labels)]
    lines += [[plain(cell) for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
