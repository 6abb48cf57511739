"""The page's tables of numbers: a run's rows with intervals, and the rows that they are held against."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..names import DIRECTIONS, HEADINGS, LOWER_IS_BETTER, METRICS, NONE
from ..result import Differences, RerankingResult
from ..table import loss_name
from .material import Material, Reference
from .tables import Cell, Row, Table, signed

CHANCE = "chance"


def headline(materials: Sequence[Material], reference: Reference | None) -> list[Table]:
    """A table a direction: every run raw, its re-rankings below, then chance and zero-shot."""
    several = len(materials) > 1
    tables = []
    for direction in DIRECTIONS:
        rows = [
            Row(_label(material, name, result, several=several), _cells(result, direction))
            for material in materials
            for name, result in material.evaluation.rerankings.items()
        ]
        if reference:
            rows.append(Row("zero-shot, raw", _cells(reference.result, direction), reference=True))
        rows.append(Row(CHANCE, _chance(materials[0], direction), reference=True))
        tables.append(Table(_title(materials[0], direction), _columns(), rows))
    return tables


def _title(material: Material, direction: str) -> str:
    convention = f" ({material.evaluation.v2t})" if direction == "v2t" else ""
    return HEADINGS[direction].capitalize() + convention


def _columns() -> list[str]:
    return [f"{metric} {'↓' if metric in LOWER_IS_BETTER else '↑'}" for metric in METRICS]


def _label(material: Material, name: str, result: RerankingResult, *, several: bool) -> str:
    text = ("raw" if name == NONE else name) + (" *" if result.transductive else "")
    return f"{run_name(material)}: {text}" if several else text


def run_name(material: Material) -> str:
    """What a run is called in tables: its folder."""
    return material.path.resolve().name or str(material.path)


def run_kind(material: Material) -> str:
    """`camoe, dsl 1000`."""
    training = material.evaluation.training
    return f"{training.model}, {loss_name(training)}"


def _cells(result: RerankingResult, direction: str) -> list[Cell]:
    values, spans = result[direction], result.intervals
    cells = []
    for metric in METRICS:
        below = ""
        if spans is not None:
            low, high = spans[direction][metric]
            below = f"{low:.1f}–{high:.1f}"
        cells.append(Cell(f"{values[metric]:.1f}", below, values[metric]))
    return cells


def chance_metrics(captions_of_video: np.ndarray, direction: str, v2t: str) -> dict[str, float] | None:
    """What a guess gives in expectation, by metric; none for video-to-text where videos differ in their captions.

    `captions_of_video (N,)` counts each video's captions.
    """
    videos = len(captions_of_video)
    if direction == "v2t" and (v2t != "c4c" or len(set(captions_of_video.tolist())) > 1):
        return None
    found = {metric: 100.0 * min(1.0, int(metric[2:]) / videos) for metric in METRICS if metric.startswith("R@")}
    return found | dict.fromkeys(LOWER_IS_BETTER, (videos + 1) / 2)


def _chance(material: Material, direction: str) -> list[Cell]:
    found = chance_metrics(np.bincount(material.owner), direction, material.evaluation.v2t)
    if found is None:
        return [Cell("–") for _ in METRICS]
    return [Cell(f"{found[metric]:.1f}", "", found[metric]) for metric in METRICS]


def difference_tables(found: Sequence[tuple[str, dict[str, Differences]]]) -> list[Table]:
    """A table a direction: of each run, the differences from the first one, by re-ranking."""
    tables = []
    for direction in DIRECTIONS:
        rows = []
        for name, by_reranking in found:
            for label, differences in by_reranking.items():
                cells = [
                    Cell(
                        signed(one.value),
                        f"{signed(one.low)} to {signed(one.high)}, {one.p_text}",
                        one.value,
                    )
                    for one in (differences[direction][metric] for metric in METRICS)
                ]
                rows.append(Row(f"{name}: {'raw' if label == NONE else label}", cells))
        tables.append(Table(HEADINGS[direction].capitalize(), _columns(), rows))
    return tables


def stream_table(material: Material) -> Table | None:
    """R@1 of both directions with each stream alone, and without it."""
    if not material.streams:
        return None
    whole = material.evaluation.rerankings[NONE]
    columns = [
        "share",
        *(f"alone, {name}" for name in DIRECTIONS),
        *(f"without, {name}" for name in DIRECTIONS),
    ]
    rows = []
    for stream in material.streams:
        cells = [Cell(f"{stream.weight:.2f}", "", stream.weight)]
        cells += [_one(stream.alone[direction]["R@1"]) for direction in DIRECTIONS]
        for direction in DIRECTIONS:
            if stream.left_out is None:
                cells.append(Cell("–"))
                continue
            value = stream.left_out[direction]["R@1"]
            cells.append(Cell(f"{value:.1f}", signed(value - whole[direction]["R@1"]), value))
        rows.append(Row(f"{stream.name} ({stream.strategy})", cells))
    together = [
        Cell("1.00", "", 1.0),
        *(_one(whole[direction]["R@1"]) for direction in DIRECTIONS),
        Cell("–"),
        Cell("–"),
    ]
    rows.append(Row("all together", together, reference=True))
    return Table("", columns, rows)


def _one(value: float) -> Cell:
    return Cell(f"{value:.1f}", "", value)
