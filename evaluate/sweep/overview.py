"""`overview.md`: what a sweep came to, in words: the winner by validation and by how much."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ...pipeline.store import describe_shortfall
from ...pipeline.wording import counted
from ...train.reproduce import train_command
from ..names import DIRECTIONS, HEADINGS
from ..report.sweeps import LINK
from .code import code_version
from .comparison import LEVEL
from .costs import Costs, cost_table
from .plan import Plan
from .progress import clock
from .result import FAILED, OK, Result
from .summary import Row, TableRows, average, deviation
from .tables import markdown


def overview(
    plan: Plan,
    tables: Sequence[TableRows],
    results: Mapping[str, Result],
    costs: Costs,
    plots: Sequence[Path],
    before: Sequence[str] = (),
) -> str:
    """The whole page; `plots` are shown below the tables, and sections from elsewhere `before` the choice."""
    parts = ["\n".join([f"# Sweep {plan.sweep.name}", "", *_counts(plan, results), "", LINK]), *before]
    for shown in tables:
        parts.append("\n".join([f"## {shown.table.title}: the choice", "", *winners(plan, shown)]))
    for shown in tables:
        parts += [markdown(plan, [shown]).rstrip(), cost_table(shown, costs)]
    troubles = _troubles(plan, tables)
    if troubles:
        parts.append("\n".join(["## Troubles", "", *troubles]))
    parts += [f"![{path.stem}](plots/{path.name})" for path in plots]
    return "\n\n".join(parts) + "\n"


def headlines(plan: Plan, tables: Sequence[TableRows]) -> list[str]:
    """The choice of every table, for the terminal."""
    return [line for shown in tables for line in [f"{shown.table.title}:", *winners(plan, shown)]]


def winners(plan: Plan, shown: TableRows) -> list[str]:
    """The best row by validation among the raw ones, and among the re-ranked ones where there are any."""
    if shown.too_few_to_choose:
        return [f"- No winner is named. {shown.too_few_to_choose}."]
    lines = []
    for kind, what in ((False, "raw"), (True, "re-ranked (needs all queries at once)")):
        rows = [row for row in shown.rows if row.transductive == kind and row.validation]
        rows.sort(key=lambda row: -average(row.validation))
        if rows:
            lines += _winner(plan, shown, rows, what)
    return lines or ["- no run has validation numbers yet"]


def _winner(plan: Plan, shown: TableRows, rows: list[Row], what: str) -> list[str]:
    best = rows[0]
    lines = [f"- Best {what}, by R@1 on val (both directions): **{best.cell.name}**, {_spread(best.validation)}."]
    if len(rows) > 1:
        lead = average(best.validation) - average(rows[1].validation)
        second = f"{rows[1].cell.name} ({_spread(rows[1].validation)})"
        lines.append(f"  Ahead of {second} by {lead:.1f}{_noise(rows, lead)}.")
    first = shown.rows[0]
    for direction in DIRECTIONS:
        text = f"  On test, {HEADINGS[direction]} R@1 {_spread(best.values(direction, 'R@1'))}"
        if difference := best.against_first.get(direction):
            stands = "is significant" if best.significant[direction] else "is not significant"
            text += (
                f"; against the first row ({first.cell.name}) {difference.value:+.1f} "
                f"[{difference.low:+.1f}, {difference.high:+.1f}], {difference.p_text}, which {stands} "
                f"at {LEVEL:g} after correction"
            )
        lines.append(text + ".")
    if what == "raw":
        lines.append(f"  Train it alone: `{command(plan, best)}`")
    return lines


def _noise(rows: list[Row], lead: float) -> str:
    """Whether the seeds alone could explain a lead."""
    spreads = [deviation(row.validation) for row in rows[:2]]
    widest = max((spread for spread in spreads if spread is not None), default=None)
    if widest is None:
        return " (one seed, so this may be chance)"
    return " (within one standard deviation over seeds)" if lead <= widest else ""


def command(plan: Plan, row: Row) -> str:
    """The `camoe-train` command of the row's best seed on val."""
    best = max(row.results, key=lambda result: result.selection)
    config = replace(plan.runs[best.key].config, allow_missing=plan.allow_missing)
    return train_command(config, plan.protocol)


def _counts(plan: Plan, results: Mapping[str, Result]) -> list[str]:
    done = [results[key] for key in plan.runs if key in results]
    good = [result for result in done if result.status == OK]
    failed = sum(result.status == FAILED for result in done)
    missing = len(plan.runs) - len(done)
    lines = [
        f"{counted(len(plan.sweep.cells), 'cell')}, seeds {', '.join(map(str, plan.sweep.seeds))}: {len(good)} of "
        f"{counted(len(plan.runs), 'training run')} finished, {failed} failed"
        + (f", {missing} still to do: **these numbers are not final**." if missing else "."),
        "",
        f"Store {', '.join(_features(plan))} (content {plan.store.content_hash[:12]}, CLIP "
        f"{plan.store.settings.clip_model}), protocol {plan.protocol}. "
        f"Training took {clock(sum(result.seconds for result in good))} in all, summed over processes."
        + (f" Tags: {', '.join(plan.tags)}." if plan.tags else ""),
        "",
        "Cells are chosen on validation captions only; among many, the best one's validation number is flattered by "
        "the choice, its test number is not. Each table is a question of its own: marks are corrected within a table. "
        "What one setting changes, the others alike, is in `contrasts.md`.",
    ]
    others = sorted({result.code or "unrecorded" for result in done} - {code_version()})
    if others:
        lines += ["", f"MIXED: other code than this ({code_version()}) made some of these runs: {', '.join(others)}."]
    short = describe_shortfall(plan.store.shortfall.get(plan.protocol, {}))
    return lines + (["", f"INCOMPLETE: this copy of the data set has {', '.join(short)}."] if short else [])


def _features(plan: Plan) -> tuple[str, ...]:
    return next(iter(plan.runs.values())).config.features


def _troubles(plan: Plan, tables: Sequence[TableRows]) -> list[str]:
    lines = [f"- left out: {reason}" for reason in plan.left_out]
    for shown in tables:
        for row in shown.rows:
            notes = dict.fromkeys(result.note for result in row.results if result.note)
            told = (*row.reasons, *notes, *_untrained(row))
            lines += [f"- {shown.table.name}: {row.cell.name}: {text}" for text in told]
    return lines


def _untrained(row: Row) -> list[str]:
    """What to know where training never helped on val, which then kept the model as it was before the first step."""
    kept = sum(result.best.get("epoch") == 0 for result in row.results)
    if not kept or not row.cell.config.facts.trains or row.cell.config.rerank != "none":
        return []
    seeds = counted(len(row.results), "seed")
    return [f"val chose epoch 0, the untrained model, in {kept} of {seeds}"]


def _spread(values: Sequence[float]) -> str:
    spread = deviation(values)
    return f"{average(values):.1f}" + ("" if spread is None else f" ± {spread:.1f}")
