"""A sweep's pictures, each as PNG and SVG: bars with intervals, learning curves, a heat map for two-way grids."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ...pipeline.atomic import atomic_path
from ..names import DIRECTIONS, HEADINGS
from ..significance import bootstrap_intervals
from .grid import shown as shown_value
from .summary import Row, TableRows, average
from .tables import labels

COLOURS = {"t2v": "#1f5a92", "v2t": "#d98c28"}
MOST_CURVES = 10
MOST_INCHES = 150.0
"""Of a picture, however many rows it has: matplotlib draws up to 65,535 dots."""


def write_plots(tables: list[TableRows], folder: Path) -> list[Path]:
    """The PNG files written; a table without results has none."""
    folder.mkdir(parents=True, exist_ok=True)
    with rc_context({"svg.hashsalt": "camoe", "text.parse_math": False}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        return [path for shown in tables for path in _write_plots_of(shown, folder)]


def _write_plots_of(shown: TableRows, folder: Path) -> Iterator[Path]:
    rows = [row for row in shown.rows if row.results]
    for name, draw in PLOTS.items():
        figure = draw(shown, rows) if rows else None
        if figure is not None:
            if shown.too_few:
                figure.suptitle(shown.too_few, color="#a00000", fontsize=8, wrap=True)
            yield _save(figure, folder / f"{shown.table.name}-{name}")


def bars(shown: TableRows, rows: list[Row]) -> Figure:
    """R@1 of both directions: mean over seeds, its 95 % interval over test videos, and every seed as a dot."""
    figure, axes = _figure(9, 1.3 + 0.62 * len(rows))
    height = 0.38
    for side, direction in enumerate(DIRECTIONS):
        places = np.arange(len(rows)) + (side - 0.5) * height
        means = [row.mean(direction, "R@1") for row in rows]
        spans = [_interval(row, direction) for row in rows]
        reach = np.array([[mean - low, high - mean] for mean, (low, high) in zip(means, spans, strict=True)]).T
        axes.barh(places, means, height, xerr=reach.clip(0), color=COLOURS[direction], label=HEADINGS[direction],
                  error_kw={"lw": 1, "capsize": 2})  # fmt: skip
        for place, row, (_, high) in zip(places, rows, spans, strict=True):
            values = row.values(direction, "R@1")
            if len(values) > 1:
                axes.plot(values, [place] * len(values), "o", ms=3, mfc="white", mec="black", mew=0.6)
            axes.annotate(f"{average(values):.1f}", (high, place), (5, 0), textcoords="offset points",
                          va="center", fontsize=8)  # fmt: skip
    axes.set_yticks(range(len(rows)), [_name(shown, row) for row in rows])
    axes.invert_yaxis()
    axes.set_xlim(0, 109)
    axes.set_xlabel("R@1 on test, percent: mean over seeds, 95 % interval over test videos; dots are seeds")
    axes.set_title(shown.table.title, loc="left", fontsize=11)
    figure.legend(loc="outside lower right", ncols=2, frameon=False, fontsize=8)
    return figure


def curves(shown: TableRows, rows: list[Row]) -> Figure | None:
    """R@1 on val after every epoch, mean over seeds and their range; the best rows only where there are many."""
    trained = {row.results[0].key: row for row in reversed(rows) if len(row.results[0].curve) > 1}
    chosen = sorted(trained.values(), key=lambda row: -average([result.selection for result in row.results]))
    chosen = chosen[:MOST_CURVES]
    if not chosen:
        return None
    figure, axes = _figure(9, 4.5)
    for row in chosen:
        length = min(len(result.curve) for result in row.results)
        values = np.array([[epoch["R@1"] for epoch in result.curve[:length]] for result in row.results])
        (line,) = axes.plot(range(length), values.mean(0), lw=1.5, label=_name(shown, row))
        if len(values) > 1:
            axes.fill_between(range(length), values.min(0), values.max(0), color=line.get_color(), alpha=0.12, lw=0)
    axes.set_xlabel("epoch (0: untrained)")
    axes.set_ylabel("R@1 on val, percent, mean of both directions, raw")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    kept = "" if len(chosen) == len(trained) else f" (the best {len(chosen)} of {len(trained)})"
    axes.set_title(shown.table.title + kept, loc="left", fontsize=11)
    axes.legend(fontsize=8, frameon=False)
    axes.grid(alpha=0.25)
    return figure


def heat(shown: TableRows, rows: list[Row]) -> Figure | None:
    """Mean R@1 over both directions on test, for a grid of two settings; combinations without a cell stay white.

    Cells that were included beside the grid, with other values or further settings, have no place on it.
    """
    if len(shown.table.axes) != 2:
        return None
    (down, downs), (across, acrosses) = shown.table.axes.items()
    values = np.full((len(downs), len(acrosses)), np.nan)
    for row in sorted(rows, key=lambda row: len(row.cell.own), reverse=True):  # the grid's own, which set less, last
        own = row.cell.own
        if {down, across} <= own.keys() and own[down] in downs and own[across] in acrosses:
            place = downs.index(own[down]), acrosses.index(own[across])
            values[place] = average([row.mean(direction, "R@1") for direction in DIRECTIONS])
    if np.isnan(values).all():
        return None
    figure, axes = _figure(2.5 + 1.1 * len(acrosses), 1.8 + 0.6 * len(downs))
    picture = axes.imshow(values, cmap="viridis", aspect="auto")
    middle = np.nanmean([np.nanmin(values), np.nanmax(values)])
    for (y, x), value in np.ndenumerate(values):
        if not np.isnan(value):
            axes.text(x, y, f"{value:.1f}", ha="center", va="center", color="white" if value < middle else "black")
    axes.set_xticks(range(len(acrosses)), [shown_value(value) for value in acrosses])
    axes.set_yticks(range(len(downs)), [shown_value(value) for value in downs])
    axes.set_xlabel(across.replace("_", " "))
    axes.set_ylabel(down.replace("_", " "))
    figure.colorbar(picture, label="R@1 on test, both directions")
    axes.set_title(shown.table.title, loc="left", fontsize=10, wrap=True)
    return figure


PLOTS: dict[str, Callable[[TableRows, list[Row]], Figure | None]] = {"bars": bars, "curves": curves, "heat": heat}


def _name(shown: TableRows, row: Row) -> str:
    """A row's left cells, without those that change nothing."""
    return " · ".join(text for text in labels(shown, row) if text != "–")


def _interval(row: Row, direction: str) -> tuple[float, float]:
    """95 % over test videos, all seeds of a video drawn together."""
    ranks = np.concatenate([result.ranks[row.reranking][direction] for result in row.results])
    queries = len(ranks) // len(row.results)
    clusters = row.results[0].owner if direction == "t2v" else np.arange(queries)
    found = bootstrap_intervals(ranks, np.tile(clusters, len(row.results)), resamples=1000)["R@1"]
    return found.low, found.high


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(min(width, MOST_INCHES), min(height, MOST_INCHES)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure, axes


def _save(figure: Figure, stem: Path) -> Path:
    """Both formats; the same numbers give the same bytes."""
    with atomic_path(stem.with_name(f"{stem.name}.svg")) as temporary:
        figure.savefig(temporary, format="svg", metadata={"Date": None})
    with atomic_path(stem.with_name(f"{stem.name}.png")) as temporary:
        figure.savefig(temporary, format="png", dpi=130)
    return stem.with_name(f"{stem.name}.png")
