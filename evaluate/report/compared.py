"""Several runs side by side: differences from the first one, and the queries on which they disagree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..compare import differences, unlike_settings
from ..names import NONE
from .choose import disagreements
from .examples import Caption, caption_view
from .material import Material
from .numbers import difference_tables, run_name
from .pictures import Frame, Pictures
from .tables import Table

SHOWN = 12


@dataclass(frozen=True)
class Disagreement:
    """A caption that the runs rank unlike each other; `ranks` in their order."""

    caption: Caption
    video_id: str
    frame: Frame
    ranks: list[int]


@dataclass(frozen=True)
class Compared:
    """`names` are the runs'; `settings` hold, by setting, each run's value where they differ."""

    names: list[str]
    settings: list[tuple[str, list[str]]]
    tables: list[Table]
    disagree: list[Disagreement]


def compare_runs(materials: Sequence[Material], pictures: Pictures) -> Compared | None:
    """Nothing of a single run."""
    if len(materials) < 2:
        return None
    first, others = materials[0], materials[1:]
    names = distinct_names(materials)
    config = first.config
    found = [
        (
            f"{name} minus {names[0]}",
            differences(other.ranked, first.ranked, resamples=config.bootstrap, seed=config.seed),
        )
        for name, other in zip(names[1:], others, strict=True)
    ]
    ranks = np.stack([material.ranked.ranks[NONE].t2v for material in materials])
    disagree = [
        Disagreement(
            caption_view(first, row),
            first.video_ids[first.owner[row]],
            pictures.middle(first.video_ids[first.owner[row]]),
            ranks[:, row].tolist(),
        )
        for row in disagreements(ranks, SHOWN)
    ]
    return Compared(names, _settings(materials), difference_tables(found), disagree)


def distinct_names(materials: Sequence[Material]) -> list[str]:
    """Each run's folder name; where two share one, their paths as they were given."""
    names = [run_name(material) for material in materials]
    return names if len(set(names)) == len(names) else [str(material.path) for material in materials]


def _settings(materials: Sequence[Material]) -> list[tuple[str, list[str]]]:
    first = materials[0].subject.run.config
    unlike: dict[str, list[str]] = {}
    for place, material in enumerate(materials[1:], 1):
        for name, (mine, other) in unlike_settings(first, material.subject.run.config).items():
            values = unlike.setdefault(name, [_shown(mine)] * len(materials))
            values[place] = _shown(other)
    return list(unlike.items())


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
