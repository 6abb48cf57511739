"""Where a run's numbers come from: hubs, what a re-ranking did, the videos at the ends of the gate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from ..names import NONE
from .choose import most_found, rerank_effect
from .examples import Caption, caption_view
from .material import Material
from .pictures import Frame, Pictures
from .plots import effect_plot, gate_plot

SHOWN, CHANGES = 8, 6
ENDS = 3
ALIKE = 1e-4
"""Shares of a gate that lie closer together are one."""


@dataclass(frozen=True)
class HubRow:
    """A video, or a caption, that is found for many queries: for how many it is `first`, or `among_ten`.

    `owned` is how many of them are right to find it; for `first_after` it is first after DSL, where the report has it.
    """

    video_id: str
    frame: Frame
    caption: Caption | None
    first: int
    among_ten: int
    owned: int
    first_after: int | None


@dataclass(frozen=True)
class Change:
    """A caption whose rank a re-ranking changed."""

    caption: Caption
    video_id: str
    frame: Frame
    before: int
    after: int


@dataclass(frozen=True)
class DslEffect:
    """What the Dual Softmax re-ranking did to text-to-video, query by query."""

    name: str
    better: int
    worse: int
    same: int
    plot: Markup
    gained: list[Change]
    lost: list[Change]


@dataclass(frozen=True)
class GateEnd:
    """An expert, and the videos that give it most and least."""

    expert: str
    mean: float
    most: list[tuple[Frame, float]]
    least: list[tuple[Frame, float]]


@dataclass(frozen=True)
class GateView:
    """The gate of one stream; `says` where there is nothing to see."""

    plot: Markup | None
    ends: list[GateEnd]
    says: str = ""


def hub_rows(material: Material, pictures: Pictures) -> dict[str, list[HubRow]]:
    """The items that are found for most queries, by direction."""
    return {
        direction: [
            _hub_row(material, pictures, item, direction) for item in most_found(found.among_ten, found.first, SHOWN)
        ]
        for direction, found in material.surveys.items()
    }


def _hub_row(material: Material, pictures: Pictures, item: int, direction: str) -> HubRow:
    found, is_video = material.surveys[direction], direction == "t2v"
    column = item if is_video else int(material.owner[item])
    video_id = material.video_ids[column]
    return HubRow(
        video_id=video_id,
        frame=pictures.middle(video_id),
        caption=None if is_video else caption_view(material, item),
        first=round(found.first[item]),
        among_ten=round(found.among_ten[item]),
        owned=int(np.count_nonzero(material.owner == column)) if is_video else 1,
        first_after=None if found.first_after is None else round(found.first_after[item]),
    )


def dsl_effect(material: Material, pictures: Pictures) -> DslEffect | None:
    """Who gained and who lost."""
    name = material.dsl
    if name is None:
        return None
    before, after = material.ranked.ranks[NONE].t2v, material.ranked.ranks[name].t2v
    effect = rerank_effect(before, after, CHANGES)

    def changes(rows: Sequence[int]) -> list[Change]:
        return [
            Change(
                caption_view(material, row),
                material.video_ids[material.owner[row]],
                pictures.middle(material.video_ids[material.owner[row]]),
                int(before[row]),
                int(after[row]),
            )
            for row in rows
        ]

    return DslEffect(
        name,
        effect.better,
        effect.worse,
        effect.same,
        effect_plot(before, after, name),
        changes(effect.gained),
        changes(effect.lost),
    )


def gate_views(material: Material, pictures: Pictures) -> list[GateView]:
    """The gate's weights on the subset's videos, a view a stream that has a gate; nothing without one."""
    shares = material.gate
    if shares is None or shares.shape[2] < 2:
        return []
    streams = list(material.subject.run.config.strategies)
    names = streams if shares.shape[1] > 1 else ["fusion"]
    experts = [f"{place} ({material.subject.run.config.aggregators[place]})" for place in range(shares.shape[2])]
    views = []
    for place, name in enumerate(names):
        own = shares[:, place]
        if float(np.ptp(own, axis=0).max()) < ALIKE:
            given = ", ".join(f"{value:.2f}" for value in own[0])
            views.append(GateView(None, [], f"The gate of stream {name} gives every video the same shares: {given}."))
            continue
        ends = [_gate_end(material, pictures, own[:, expert], experts[expert]) for expert in range(own.shape[1])]
        views.append(GateView(gate_plot(own, name), ends))
    return views


def _gate_end(material: Material, pictures: Pictures, share: np.ndarray, expert: str) -> GateEnd:
    order = np.argsort(-share, kind="stable").tolist()
    count = min(ENDS, len(order) // 2)

    def shown(rows: list[int]) -> list[tuple[Frame, float]]:
        return [(pictures.middle(material.video_ids[row]), float(share[row])) for row in rows]

    return GateEnd(expert, float(share.mean()), shown(order[:count]), shown(order[len(order) - count :]))
