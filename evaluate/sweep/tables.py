"""A sweep's tables for a paper: Markdown and LaTeX, mean ± deviation, the best in bold, a mark for what differs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...pipeline.wording import counted
from ..names import DIRECTIONS, HEADINGS, LOWER_IS_BETTER, METRICS
from .comparison import LEVEL
from .plan import Plan
from .summary import Row, TableRows, average, deviation

MARK = {"md": "†", "tex": r"$^\dagger$"}
PLUS_MINUS = {"md": " ± ", "tex": r"\,$\pm$\,"}
ESCAPES = {sign: f"\\{sign}" for sign in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "–": "--",
    "±": r"$\pm$",
    "†": MARK["tex"],
    "‡": r"$^\ddagger$",
    "<": "$<$",
}


@dataclass(frozen=True)
class Style:
    """How one format writes its cells."""

    name: str

    def bold(self, text: str) -> str:
        return f"**{text}**" if self.name == "md" else rf"\textbf{{{text}}}"

    def text(self, text: str) -> str:
        if self.name == "md":
            return text.replace("|", r"\|")
        return "".join(ESCAPES.get(sign, sign) for sign in text)


def markdown(plan: Plan, tables: Sequence[TableRows]) -> str:
    """All tables of a sweep."""
    return "\n\n".join(_markdown_table(plan, rows) for rows in tables) + "\n"


def latex(plan: Plan, tables: Sequence[TableRows]) -> str:
    """All tables, each a `table*` with the rules of the package booktabs."""
    head = "% \\usepackage{booktabs}\n\n"
    return head + "\n\n".join(_latex_table(plan, rows) for rows in tables) + "\n"


def _test(shown: TableRows) -> str:
    """What the numbers were measured on."""
    result = next((result for row in shown.rows for result in row.results), None)
    if result is None:
        return "test captions"
    return f"{counted(len(result.owner), 'test caption')} of {counted(result.videos, 'video')}"


def notes(plan: Plan, shown: TableRows) -> list[str]:
    """What a reader must know of a table's numbers."""
    seeds = len(plan.sweep.seeds)
    over = f"mean ± standard deviation over {seeds} seeds" if seeds > 1 else "one seed, so no deviation"
    found = [f"Protocol {plan.protocol}, {_test(shown)}, R@K in percent; {over}; epochs chosen on val"]
    found += [plan.tuned] if plan.tuned else []
    kinds = " (of raw and of re-ranked rows)" if len({row.transductive for row in shown.rows}) > 1 else ""
    if shown.too_few:
        found.append(shown.too_few)
    else:
        found.append(f"bold: best{kinds}")
    if any(row.against_first for row in shown.rows):
        found.append(
            f"†: R@1 differs from the first row's, p < {LEVEL:g} by a paired bootstrap over test videos, corrected "
            "over the table after Holm"
        )
    if any(row.transductive for row in shown.rows):
        found.append("*: needs all queries at once (transductive)")
    if any(row.missing for row in shown.rows):
        found.append("‡: seeds missing")
    if plan.tags:
        found.append(f"tags: {', '.join(plan.tags)}")
    return found


def _markdown_table(plan: Plan, shown: TableRows) -> str:
    style = Style("md")
    columns, rows = label_columns(shown), _cells(shown, style)
    titles = [*columns, *(f"{direction.upper()} {metric}" for direction in DIRECTIONS for metric in METRICS)]
    lines = [f"## {shown.table.title}", ""]
    lines.append(f"| {' | '.join(titles)} |")
    lines.append(f"|{'|'.join([':--'] * len(columns) + ['--:'] * (len(titles) - len(columns)))}|")
    lines += [f"| {' | '.join(cells)} |" for cells in rows]
    return "\n".join([*lines, "", "; ".join(notes(plan, shown)) + "."])


def _latex_table(plan: Plan, shown: TableRows) -> str:
    style = Style("tex")
    columns, rows = label_columns(shown), _cells(shown, style)
    count, first = len(METRICS), len(columns) + 1
    spans = [f"\\multicolumn{{{count}}}{{c}}{{{HEADINGS[direction].capitalize()}}}" for direction in DIRECTIONS]
    arrows = [f"{metric}$\\{'downarrow' if metric in LOWER_IS_BETTER else 'uparrow'}$" for metric in METRICS]
    caption = style.text("; ".join([shown.table.title, *notes(plan, shown)]))
    return "\n".join(
        [
            r"\begin{table*}",
            r"\centering",
            r"\small",
            r"\setlength{\tabcolsep}{3pt}",
            f"\\caption{{{caption}.}}",
            f"\\label{{tab:{shown.table.name}}}",
            f"\\begin{{tabular}}{{{'l' * len(columns)}{'r' * count * 2}}}",
            r"\toprule",
            " & ".join([*[""] * len(columns), *spans]) + r" \\",
            f"\\cmidrule(lr){{{first}-{first + count - 1}}} \\cmidrule(lr){{{first + count}-{first + 2 * count - 1}}}",
            " & ".join([*map(style.text, columns), *arrows * 2]) + r" \\",
            r"\midrule",
            *(" & ".join(cells) + r" \\" for cells in rows),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table*}",
        ]
    )


def label_columns(shown: TableRows) -> list[str]:
    """Titles of the left columns: one for labels, or the settings that differ."""
    if any(row.cell.label for row in shown.rows) or not shown.table.columns:
        return [""]
    return [name.replace("_", " ") for name in shown.table.columns]


def labels(shown: TableRows, row: Row) -> list[str]:
    """The left cells of a row."""
    marks = (" *" if row.transductive else "") + (" ‡" if row.missing else "")
    if label_columns(shown) == [""]:
        return [row.cell.name + marks]
    values = [row.cell.value(name) for name in shown.table.columns]
    return [*values[:-1], values[-1] + marks]


def _cells(shown: TableRows, style: Style) -> list[list[str]]:
    best: dict[bool, dict[tuple[str, str], float]] = {False: {}, True: {}}
    if not shown.too_few:
        best = {kind: _best([row for row in shown.rows if row.transductive == kind]) for kind in best}
    return [
        [
            *map(style.text, labels(shown, row)),
            *(
                _number(row, direction, metric, style, best=best[row.transductive].get((direction, metric)))
                for direction in DIRECTIONS
                for metric in METRICS
            ),
        ]
        for row in shown.rows
    ]


def _number(row: Row, direction: str, metric: str, style: Style, *, best: float | None) -> str:
    values = row.values(direction, metric)
    if not values:
        return style.text("–")
    mean, spread = average(values), deviation(values)
    text = f"{mean:.1f}" if best is None or round(mean, 1) != best else style.bold(f"{mean:.1f}")
    text += "" if spread is None else f"{PLUS_MINUS[style.name]}{spread:.1f}"
    marked = metric == "R@1" and row.significant.get(direction, False)
    return text + (MARK[style.name] if marked else "")


def _best(rows: Sequence[Row]) -> dict[tuple[str, str], float]:
    """The best shown value of each column."""
    found = {}
    for direction in DIRECTIONS:
        for metric in METRICS:
            means = [round(row.mean(direction, metric), 1) for row in rows if row.results]
            if means:
                found[direction, metric] = (min if metric in LOWER_IS_BETTER else max)(means)
    return found
