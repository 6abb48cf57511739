"""The plots of a run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from ..names import DIRECTIONS, HEADINGS, NONE
from .choose import rank_bins, recall_curve
from .material import Material, Reference
from .svg import Axis, Series, axis, bars, lines, points

BINS = 20


def learning_curves(material: Material) -> list[Markup]:
    """Loss, and R@1 on val, by epoch; nothing of a run that was not trained."""
    chosen = material.subject.run.record["selection"].get("epoch")
    plots = []
    for label, title, names in (
        ("Training loss", "loss", {"loss": ("loss", "t2v")}),
        ("R@1 on val, raw", "percent", {f"{side}_R@1": (HEADINGS[side], side) for side in DIRECTIONS}),
    ):
        series = [
            Series(name, *_column(material.epochs, key), style)
            for key, (name, style) in names.items()
            if len(_column(material.epochs, key)[0]) > 1
        ]
        if series:
            epochs = Axis("epoch", 0, max(1.0, *(x for one in series for x in one.xs)), whole=True)
            values = axis(title, [y for one in series for y in one.ys], zero=title == "percent")
            plots.append(lines(series, epochs, values, label=label, mark_x=chosen))
    return plots


def _column(rows: Sequence[dict], name: str) -> tuple[list[float], list[float]]:
    found = [
        (float(row["epoch"]), float(row[name]))
        for row in rows
        if isinstance(row.get(name), int | float) and np.isfinite(row[name])
    ]
    return [epoch for epoch, _ in found], [value for _, value in found]


def recall_plot(material: Material, reference: Reference | None) -> Markup:
    """R@K of every K, both directions, beside zero-shot and chance."""
    items = len(material.video_ids)
    series = []
    for direction in DIRECTIONS:
        size = items if direction == "t2v" else _candidates(material)
        series.append(Series(HEADINGS[direction], *_curve(material.ranked.ranks[NONE][direction], size), direction))
    if reference:
        series.append(Series("zero-shot, text to video", *_curve(reference.ranked.ranks[NONE].t2v, items), "reference"))
    steps = np.unique(np.geomspace(1, items, 40).round())
    series.append(Series("chance, text to video", steps.tolist(), (100 * steps / items).tolist(), "chance"))
    longest = max(max(one.xs) for one in series)
    return lines(series, axis("K", [1, longest], log=True), Axis("R@K, percent", 0, 100), label="R@K for every K, raw")


def _curve(ranks: np.ndarray, items: int) -> tuple[list[float], list[float]]:
    """As steps: between two K nothing changes."""
    at, recall = recall_curve(ranks, items)
    return np.repeat(at, 2)[1:].tolist(), np.repeat(recall, 2)[:-1].tolist()


def _candidates(material: Material) -> int:
    """What video-to-text ranks run up to."""
    return len(material.captions) if material.evaluation.v2t == "ce" else len(material.video_ids)


def rank_plot(material: Material) -> Markup:
    """How many queries rank where, in percent of each direction's."""
    items = max(len(material.video_ids), _candidates(material))
    names, series = [], []
    for direction in DIRECTIONS:
        ranks = material.ranked.ranks[NONE][direction]
        bins = rank_bins(ranks, items)
        names = [name for name, _ in bins]
        series.append(Series(HEADINGS[direction], [], [100 * count / len(ranks) for _, count in bins], direction))
    return bars(names, series, x_title="rank of the right one", y_title="percent of queries", label="Ranks, raw")


def effect_plot(before: np.ndarray, after: np.ndarray, name: str) -> Markup:
    """Each caption's rank before and after a re-ranking; below the diagonal it gained."""
    low, high = 0.8, 1.25 * float(max(before.max(), after.max(), 2))
    groups = [
        ("better", after < before, "better"),
        ("worse", after > before, "worse"),
        ("same", after == before, "reference"),
    ]
    series = [Series(text, before[rows].tolist(), after[rows].tolist(), style) for text, rows, style in groups]
    return points(
        series,
        axis("rank, raw", [low, high], log=True),
        axis(f"rank, {name}", [low, high], log=True),
        label=f"Every caption before and after {name}",
        diagonal=True,
    )


def gate_plot(shares: np.ndarray, name: str) -> Markup:
    """How often an expert's share is how large: `shares (N, E)` of one stream's gate."""
    low, high = float(shares.min()), float(shares.max())
    edges = np.linspace(low, max(high, low + 1e-3), BINS + 1)
    middles = ((edges[1:] + edges[:-1]) / 2).tolist()
    styles = ("t2v", "v2t", "better", "worse", "reference")
    series = [
        Series(f"expert {place}", middles, np.histogram(column, edges)[0].tolist(), styles[place % len(styles)])
        for place, column in enumerate(shares.T)
    ]
    counts = [value for one in series for value in one.ys]
    return lines(series, axis("share", [edges[0], edges[-1]]), axis("videos", counts, zero=True),
                 label=f"Gate of stream {name}")  # fmt: skip
