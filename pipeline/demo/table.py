"""The demo's table and plot: mean and standard deviation over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, stdev

from ..atomic import atomic_path
from ..too_few import too_few
from ..wording import counted

METRICS = ("R@1", "R@5", "R@10", "MdR", "MnR")
DIRECTIONS = {"t2v": "text to video", "v2t": "video to text"}


@dataclass(frozen=True)
class Row:
    """One line: per direction and metric the mean and the standard deviation over `runs` runs.

    `untrained` of them kept the untrained model, as no epoch did better on the validation clips.
    """

    title: str
    runs: int
    mean: dict[str, dict[str, float]]
    std: dict[str, dict[str, float]]
    untrained: int = 0

    def as_dict(self) -> dict:
        """Plain data, as written to table.json."""
        return asdict(self)


def chance_row(videos: int) -> Row:
    """What guessing gives among that many videos, in expectation (one right video a query)."""
    guess = {f"R@{k}": 100 * min(1.0, k / videos) for k in (1, 5, 10)} | {
        "MdR": (videos + 1) / 2,
        "MnR": (videos + 1) / 2,
    }
    zero = dict.fromkeys(METRICS, 0.0)
    return Row("chance", 0, dict.fromkeys(DIRECTIONS, guess), dict.fromkeys(DIRECTIONS, zero))


def measured_row(title: str, evaluations: Sequence[dict], rerank: str) -> Row:
    """Mean and sample standard deviation of the evaluations of one experiment's seeds."""
    mean: dict[str, dict[str, float]] = {}
    std: dict[str, dict[str, float]] = {}
    for direction in DIRECTIONS:
        values = {
            metric: [evaluation["rerankings"][rerank][direction][metric] for evaluation in evaluations]
            for metric in METRICS
        }
        mean[direction] = {metric: fmean(found) for metric, found in values.items()}
        std[direction] = {metric: stdev(found) if len(found) > 1 else 0.0 for metric, found in values.items()}
    return Row(title, len(evaluations), mean, std, untrained=sum(map(_kept_untrained, evaluations)))


def _kept_untrained(evaluation: dict) -> bool:
    training = evaluation["training"]
    return training["model"] != "zero-shot" and training["selection"]["epoch"] == 0


def format_table(rows: Sequence[Row], videos: int) -> str:
    """Both directions as text, one line a row; `videos` is how many test clips there are."""
    width = max(len(row.title) for row in rows)
    lines = []
    for direction, name in DIRECTIONS.items():
        lines.append(f"{name:<{width}}" + "".join(f"{metric:>13}" for metric in METRICS))
        for row in rows:
            cells = [_cell(row, direction, metric) for metric in METRICS]
            lines.append(f"{row.title:<{width}}" + "".join(f"{cell:>13}" for cell in cells) + _remark(row))
        lines.append("")
    seeds = max(row.runs for row in rows)
    over = counted(seeds, "seed")
    lines.append(f"Held-out test clips; mean ± standard deviation over {over}; R@K in percent, ranks from 1.")
    warning = too_few(videos, "test clips")
    if warning:
        lines.append(warning)
    lines.append("* uses all queries of a test set at once, which a search engine does not have.")
    lines.append("A check that the pipeline works, on a rendered world; no evidence about the paper's data sets.")
    return "\n".join(lines)


def _remark(row: Row) -> str:
    if not row.untrained:
        return ""
    runs = "" if row.runs == 1 else f" in {row.untrained} of {row.runs} runs"
    return f"   kept: the untrained model{runs}"


def _cell(row: Row, direction: str, metric: str) -> str:
    mean, std = row.mean[direction][metric], row.std[direction][metric]
    return f"{mean:.1f} ± {std:.1f}" if row.runs > 1 else f"{mean:.1f}"


def plot_table(rows: Sequence[Row], path: Path) -> None:
    """R@1 of every row in both directions, as a bar chart."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    height = 0.38
    for offset, (direction, name) in enumerate(DIRECTIONS.items()):
        places = [index + (offset - 0.5) * height for index in range(len(rows))]
        values = [row.mean[direction]["R@1"] for row in rows]
        errors = [row.std[direction]["R@1"] for row in rows]
        bars = axes.barh(places, values, height, xerr=errors, label=name, capsize=2)
        axes.bar_label(bars, fmt="%.1f", padding=4, fontsize=8)
    axes.set_yticks(range(len(rows)), [row.title for row in rows])
    axes.invert_yaxis()
    axes.set_xlim(0, 109)
    axes.set_xlabel("R@1 on held-out test clips, percent (mean and standard deviation over seeds)")
    axes.legend(loc="upper right")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=130)
