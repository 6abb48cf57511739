"""An evaluation as text for the terminal."""

from __future__ import annotations

from typing import Any

from ..pipeline.store import describe_shortfall
from .grid import grid
from .result import DIRECTIONS, Evaluation

METRICS = ("R@1", "R@5", "R@10", "MdR", "MnR")
RECALLS = METRICS[:3]
HEADINGS = {"t2v": "text to video", "v2t": "video to text"}


def render(evaluation: Evaluation) -> str:
    """What was evaluated, a row per re-ranking with the raw one first, and what to know when reading the numbers."""
    parts = [_heading(evaluation), _numbers(evaluation)]
    if evaluation.rerankings["none"]["intervals"]:
        parts.append(_intervals(evaluation))
    if evaluation.comparison:
        parts.append(_differences(evaluation.comparison))
    if evaluation.stress:
        parts.append(_stress(evaluation))
    return "\n\n".join("\n".join(lines) for lines in [*parts, _notes(evaluation)])


def loss_name(training: dict[str, Any]) -> str:
    """`ce`, `dsl 1000`, or `untrained`."""
    if training["loss"] is None:
        return "untrained"
    temperature = training["loss_temperature"]
    return training["loss"] + (f" {temperature:g}" if temperature is not None else "")


def _heading(evaluation: Evaluation) -> list[str]:
    store = evaluation.store
    return [
        f"{evaluation.run}: {evaluation.training['model']} on {store['name']} ({store['content_hash'][:8]}), "
        f"protocol {evaluation.protocol}, subset {evaluation.subset}",
        f"{evaluation.captions} captions of {evaluation.videos} videos, text to video R@1 of a guess "
        f"{100 / evaluation.videos:.1f}, CLIP {store['clip_model']} ({store['clip_sha256'][:8]})",
        *_coverage(evaluation),
    ]


def _coverage(evaluation: Evaluation) -> list[str]:
    """What the numbers lack."""
    lines = []
    if evaluation.missing_captions:
        whole = evaluation.captions + evaluation.missing_captions
        lines.append(f"INCOMPLETE: {evaluation.missing_captions} of {whole} captions left out (no video features)")
    if short := describe_shortfall(evaluation.shortfall):
        lines.append(f"INCOMPLETE: this copy of the data set has {', '.join(short)}")
    return lines


def _sides(evaluation: Evaluation) -> list[tuple[list[str], dict[str, Any]]]:
    """The label cells and the numbers of each row: this run's re-rankings, then the compared run's."""
    runs: list[tuple[list[str], dict[str, Any], dict[str, Any]]] = [([], evaluation.training, evaluation.rerankings)]
    other = evaluation.comparison
    if other:
        runs = [([evaluation.run], evaluation.training, evaluation.rerankings)]
        runs.append(([other["run"]], other["training"], other["rerankings"]))
    return [
        ([*run, loss_name(training), name + (" *" if entry["transductive"] else "")], entry)
        for run, training, entries in runs
        for name, entry in entries.items()
    ]


def _labels(evaluation: Evaluation) -> list[str]:
    return [*(["run"] if evaluation.comparison else []), "train loss", "re-ranking"]


def _groups(v2t: str, titles: tuple[str, ...]) -> list[tuple[str, tuple[str, ...]]]:
    return [(HEADINGS["t2v"], titles), (f"{HEADINGS['v2t']} ({v2t})", titles)]


def _numbers(evaluation: Evaluation) -> list[str]:
    rows = [
        [*labels, *(cell for direction in DIRECTIONS for cell in _cells(entry, direction))]
        for labels, entry in _sides(evaluation)
    ]
    return grid(_labels(evaluation), _groups(evaluation.v2t, (*METRICS, "hubs")), rows)


def _cells(entry: dict[str, Any], direction: str) -> list[str]:
    hubness = f"{entry['hubness'][direction]:.2f}" if entry["hubness"] else "-"
    return [*(f"{entry[direction][metric]:.1f}" for metric in METRICS), hubness]


def _intervals(evaluation: Evaluation) -> list[str]:
    rows = [
        [*labels, *(_span(*entry["intervals"][direction][metric]) for direction in DIRECTIONS for metric in RECALLS)]
        for labels, entry in _sides(evaluation)
    ]
    lines = grid(_labels(evaluation), _groups(evaluation.v2t, RECALLS), rows)
    return ["95 % intervals (bootstrap over queries, a video's captions drawn together)", *lines]


def _span(low: float, high: float) -> str:
    return f"{low:.1f}..{high:.1f}"


def _differences(comparison: dict[str, Any]) -> list[str]:
    def cell(found: dict[str, float]) -> str:
        return f"{found['value']:+.1f} ({found['low']:+.1f}..{found['high']:+.1f}) p={found['p_value']:.3f}"

    rows = [
        [name, *(cell(found[direction][metric]) for direction in DIRECTIONS for metric in RECALLS[:2])]
        for name, found in comparison["differences"].items()
    ]
    groups = [(HEADINGS[direction], RECALLS[:2]) for direction in DIRECTIONS]
    return [f"this run minus {comparison['run']} (paired bootstrap, 95 %)", *grid(["re-ranking"], groups, rows)]


def _stress(evaluation: Evaluation) -> list[str]:
    """R@1 when other queries are asked along."""
    stress = evaluation.stress
    assert stress is not None
    sizes = tuple(dict.fromkeys(size for batches in stress["batches"]["none"].values() for size in batches))
    sizes = tuple(sorted(sizes, key=lambda size: (size == "all", len(size))))
    rows = []
    for name in stress["batches"]:
        for direction in DIRECTIONS:
            batches, repeated = stress["batches"][name][direction], stress["repeated"][name][direction]
            pair = (stress["two_captions"] or {}).get(name, {}) if direction == "t2v" else {}
            values = [batches.get(size) for size in sizes]
            values += [repeated["alone"], repeated["repeated"], pair.get("one"), pair.get("two")]
            rows.append([name, direction, *("-" if value is None else f"{value:.1f}" for value in values)])
    groups = [("queries at once", sizes), ("one query", ("once", "100x")), ("captions a video", ("one", "two"))]
    counts = " and ".join(f"{stress['queries'][direction]} {direction}" for direction in DIRECTIONS)
    some = stress["repeated_queries"]
    counts += f" queries; one query is the mean of {some['t2v']} t2v and {some['v2t']} v2t"
    return [f"stress test: R@1 of {counts}", *grid(["re-ranking", ""], groups, rows)]


def _notes(evaluation: Evaluation) -> list[str]:
    lines = []
    if any(entry["transductive"] for entry in evaluation.rerankings.values()):
        lines.append("* needs all queries at once: a query's ranking depends on the others (transductive)")
    lines += [f"{name} is left out: {reason}" for name, reason in evaluation.left_out.items()]
    if evaluation.store["content_hash"] != evaluation.store["trained_on"]:
        lines.append(f"the store is not the one the run was trained on ({evaluation.store['trained_on'][:8]})")
    if evaluation.gap:
        lines.append(_gap(evaluation.gap))
    lines.append("R@K in percent, ties rank last; hubs: skewness of the 10-occurrence, 0 is even")
    return [*lines, str(evaluation.path)]


def _gap(gap: dict[str, Any]) -> str:
    parts = [f"{HEADINGS[name]} {gap['train'][name]:.1f} / {gap['val'][name]:.1f}" for name in DIRECTIONS]
    return f"raw R@1 on {gap['videos']} train / {gap['videos']} val videos: {', '.join(parts)}"
