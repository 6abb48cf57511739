"""What a benchmark found, as lines of JSON beside the table that it prints: `--json FILE`, the same in every script."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

OPTION = "--json"
HELP = "Also add the figures to this file, a line of JSON each."


@dataclass(frozen=True)
class Figure:
    """One row: a number of ours, that of the plain way, and the aim.

    The aim, at `most` or at `least` so much, is about the `ratio` of the two, as the script reckons it, or about `ours`
    where there is none. `unit` is of both numbers.
    """

    what: str
    ours: float
    unit: str
    plain: float | None = None
    ratio: float | None = None
    most: float | None = None
    least: float | None = None

    @property
    def aim(self) -> str:
        """Such as `≤ 1.1x`; empty where none was set."""
        bound = self.most if self.most is not None else self.least
        if bound is None:
            return ""
        sign, unit = "≤" if self.most is not None else "≥", "x" if self.ratio is not None else f" {self.unit}"
        return f"{sign} {bound:g}{unit}"

    @property
    def held(self) -> bool | None:
        """Whether the aim is held; `None` where none was set."""
        value = self.ours if self.ratio is None else self.ratio
        if self.most is None and self.least is None:
            return None
        return (self.most is None or value <= self.most) and (self.least is None or value >= self.least)


def tell(path: Path | str | None, figure: Figure) -> None:
    """Add a figure to the file, if one is asked for; what was told stays if the script is ended later."""
    if path is not None:
        with open(path, "a", encoding="utf-8") as stream:
            stream.write(json.dumps(asdict(figure)) + "\n")


def read(path: Path) -> list[Figure]:
    """The figures told so far."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [Figure(**json.loads(line)) for line in lines]
