"""An evaluation as text for the terminal."""

from __future__ import annotations

from typing import Any

from ..pipeline.store import describe_shortfall
from ..pipeline.too_few import too_few
from ..pipeline.wording import counted
from .grid import grid
from .names import DIRECTIONS, HEADINGS, METRICS
from .result import Comparison, Cost, Evaluation, Gap, RerankingResult, StoreFacts, TrainingFacts
from .significance import Difference

RECALLS = METRICS[:3]
MOST_UNLIKE = 3
"""Settings that tell the rows of two runs apart, before it is enough."""


def render(evaluation: Evaluation) -> str:
    """What was evaluated, a row per re-ranking with the raw one first, and what to know when reading the numbers."""
    parts = [_numbers(evaluation)]
    if evaluation.rerankings["none"].intervals:
        parts.append(_intervals(evaluation))
    if evaluation.comparison:
        parts.append(_differences(evaluation.comparison))
    if evaluation.stress:
        parts.append(_stress(evaluation))
    warning = [sentence] if (sentence := too_few(evaluation.videos, f"{evaluation.subset} videos")) else []
    parts = [[*warning, *lines] for lines in parts]
    return "\n\n".join("\n".join(lines) for lines in [_heading(evaluation), *parts, _notes(evaluation)])


def told_otherwise(store: StoreFacts) -> str:
    """How the store was made otherwise than the one that the run was trained on."""
    pairs = [f"{name} {theirs} instead of {mine}" for name, (mine, theirs) in store.made_otherwise.items()]
    return f"made otherwise than what the run was trained on: {', '.join(pairs)}"


def loss_name(training: TrainingFacts) -> str:
    """`ce`, `dsl 1000`, or `untrained`."""
    if training.loss is None:
        return "untrained"
    return training.loss + (f" {training.loss_temperature:g}" if training.loss_temperature is not None else "")


def training_names(evaluation: Evaluation) -> tuple[str, str]:
    """What tells the rows of this run from those of the one that it is compared with.

    The losses; where these are equal the models, and where these are too the settings that differ.
    """
    mine, other = evaluation.training, evaluation.comparison
    if other is None:
        return loss_name(mine), ""
    losses = loss_name(mine), loss_name(other.training)
    if losses[0] != losses[1]:
        return losses
    if mine.model != other.training.model:
        return f"{mine.model} {losses[0]}", f"{other.training.model} {losses[1]}"
    shown = list(other.unlike.items())[:MOST_UNLIKE]
    more = f", {len(other.unlike) - len(shown)} more" * (len(other.unlike) > len(shown))
    first, second = (", ".join(f"{name}={_value(pair[side])}" for name, pair in shown) + more for side in (0, 1))
    return f"{losses[0]} {first}".rstrip(), f"{losses[1]} {second}".rstrip()


def _value(value: Any) -> str:
    return "+".join(map(str, value)) or "none" if isinstance(value, (list, tuple)) else str(value)


def _heading(evaluation: Evaluation) -> list[str]:
    store = evaluation.store
    return [
        f"{evaluation.run}: {evaluation.training.model} on {store.name} ({store.content_hash[:8]}), "
        f"protocol {evaluation.protocol}, subset {evaluation.subset}",
        f"{counted(evaluation.captions, 'caption')} of {counted(evaluation.videos, 'video')}, text to video R@1 of a "
        f"guess {100 / evaluation.videos:.1f}, CLIP {store.clip_model} ({store.clip_sha256[:8]})",
        *([f"tags: {', '.join(evaluation.training.tags)}"] if evaluation.training.tags else []),
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


def _sides(evaluation: Evaluation) -> list[tuple[list[str], RerankingResult]]:
    """The label cells and the numbers of each row: this run's re-rankings, then the compared run's."""
    mine, theirs = training_names(evaluation)
    other = evaluation.comparison
    runs = [([evaluation.run] if other else [], mine, evaluation.rerankings)]
    if other:
        same = " (compared)" if other.run == evaluation.run else ""
        runs.append(([other.run + same], theirs, other.rerankings))
    return [
        ([*run, training, name + (" *" if result.transductive else "")], result)
        for run, training, results in runs
        for name, result in results.items()
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


def _cells(result: RerankingResult, direction: str) -> list[str]:
    hubness = f"{result.hubness[direction]:.2f}" if result.hubness else "-"
    return [*(f"{result[direction][metric]:.1f}" for metric in METRICS), hubness]


def _intervals(evaluation: Evaluation) -> list[str]:
    rows = []
    for labels, result in _sides(evaluation):
        assert result.intervals is not None
        spans = [result.intervals[direction][metric] for direction in DIRECTIONS for metric in RECALLS]
        rows.append([*labels, *(_span(*span) for span in spans)])
    lines = grid(_labels(evaluation), _groups(evaluation.v2t, RECALLS), rows)
    return ["95 % intervals (bootstrap over queries, a video's captions drawn together)", *lines]


def _span(low: float, high: float) -> str:
    return f"{low:.1f}..{high:.1f}"


def _differences(comparison: Comparison) -> list[str]:
    def cell(found: Difference) -> str:
        return f"{found.value:+.1f} ({found.low:+.1f}..{found.high:+.1f}) {found.p_text.replace(' ', '')}"

    rows = [
        [name, *(cell(found[direction][metric]) for direction in DIRECTIONS for metric in RECALLS[:2])]
        for name, found in comparison.differences.items()
    ]
    groups = [(HEADINGS[direction], RECALLS[:2]) for direction in DIRECTIONS]
    return [f"this run minus {comparison.run} (paired bootstrap, 95 %)", *grid(["re-ranking"], groups, rows)]


def _stress(evaluation: Evaluation) -> list[str]:
    """R@1 when other queries are asked along."""
    stress = evaluation.stress
    assert stress is not None
    sizes = tuple(dict.fromkeys(size for direction in DIRECTIONS for size in stress.batches["none"][direction]))
    sizes = tuple(sorted(sizes, key=lambda size: (size == "all", len(size))))
    rows = []
    for name in stress.batches:
        for direction in DIRECTIONS:
            batches, repeated = stress.batches[name][direction], stress.repeated[name][direction]
            pair = stress.two_captions[name] if stress.two_captions and direction == "t2v" else None
            values = [batches.get(size) for size in sizes]
            values += [repeated.alone, repeated.repeated, *((pair.one, pair.two) if pair else (None, None))]
            rows.append([name, direction, *("-" if value is None else f"{value:.1f}" for value in values)])
    groups = [("queries at once", sizes), ("one query", ("once", "100x")), ("captions a video", ("one", "two"))]
    some = stress.repeated_queries
    counts = f"{stress.queries.t2v} t2v and {stress.queries.v2t} v2t queries"
    counts += f"; one query is the mean of {some.t2v} t2v and {some.v2t} v2t"
    return [f"stress test: R@1 of {counts}", *grid(["re-ranking", ""], groups, rows)]


def _notes(evaluation: Evaluation) -> list[str]:
    lines = []
    if any(result.transductive for result in evaluation.rerankings.values()):
        lines.append("* needs all queries at once: a query's ranking depends on the others (transductive)")
    lines += [f"{name} is left out: {reason}" for name, reason in evaluation.left_out.items()]
    if not evaluation.store.own:
        lines.append(f"the store is not the one the run was trained on ({evaluation.store.trained_on[:8]})")
    if evaluation.store.made_otherwise:
        lines.append(f"the store was {told_otherwise(evaluation.store)}")
    if evaluation.gap:
        lines.append(_gap(evaluation.gap))
    if evaluation.cost and evaluation.cost.milliseconds:  # which was asked for
        lines.append(f"cost: {', '.join(cost_parts(evaluation.cost))}")
    lines.append("R@K in percent, ties rank last; hubs: skewness of the 10-occurrence, 0 is even")
    return [*lines, str(evaluation.path)]


def cost_parts(cost: Cost) -> list[str]:
    """`549,121 parameters`, `12.6 s of training`, `3,072 bytes a video in an index`, and what a query takes."""
    parts = [f"{cost.parameters:,} parameters", f"{cost.train_seconds:.1f} s of training"]
    if cost.bytes_per_video is not None:
        parts.append(f"{cost.bytes_per_video:,} bytes a video in an index")
    for size, milliseconds in (cost.milliseconds or {}).items():
        about = "~" if size in cost.extrapolated else ""
        parts.append(f"{about}{milliseconds:,.3g} ms a query over {int(size):,} videos")
    return parts


def _gap(gap: Gap) -> str:
    parts = [f"{HEADINGS[name]} {gap.train[name]:.1f} / {gap.val[name]:.1f}" for name in DIRECTIONS]
    return f"raw R@1 on {gap.videos} train / {gap.videos} val videos: {', '.join(parts)}"
