"""A sweep's costs: each model's search is measured once, kept in `costs.json`, and told beside quality."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from ...pipeline.atomic import write_atomic
from ...pipeline.regular import read_regular
from ...pipeline.store import FeatureStore
from ...train.config import TrainConfig
from ...train.scorer import FeatureShape
from ..cost import SearchCost, search_cost
from ..names import COSTS, SEARCH_SIZES
from .code import code_version
from .plan import Plan
from .summary import Row, TableRows, average
from .tables import Style, label_columns, labels

FILE = "costs.json"
RERANKING = ("rerank", "rerank temperature")
Costs = Mapping[str, SearchCost]
"""By `model_name`."""


def model_name(config: TrainConfig) -> str:
    """The same for runs whose models are built alike, so that their searches cost the same."""
    return str(config.recipe.architecture)


def measure_costs(plan: Plan, folder: Path) -> Costs:
    """The search cost of every model of the sweep; those that the folder has, of this code, are taken over."""
    known = _kept(folder / FILE)
    shape = _shape(plan.store)
    costs = {}
    for run in plan.runs.values():
        name = model_name(run.config)
        if name not in costs:
            costs[name] = known.get(name) or search_cost(run.config.recipe, shape)
    kept = {"code": code_version(), "costs": {name: asdict(cost) for name, cost in costs.items()}}
    write_atomic(folder / FILE, json.dumps(kept, indent=1) + "\n")
    return costs


def cost_tables(tables: Sequence[TableRows], costs: Costs) -> str:
    """All tables of costs, in Markdown."""
    return "\n\n".join(cost_table(shown, costs) for shown in tables) + "\n"


def cost_table(shown: TableRows, costs: Costs) -> str:
    """A row for each model that the table's rows are scores of: re-rankings of one model share its row."""
    style, titles = Style("md"), label_columns(shown)
    wanted = [place for place, title in enumerate(titles) if title not in RERANKING]
    rows: dict[tuple[str, ...], list[str]] = {}
    for row in shown.rows:
        label = labels(shown, row)
        rows.setdefault(tuple(style.text(label[place].removesuffix(" *")) for place in wanted), _cells(row, costs))
    head = [*(titles[place] for place in wanted), *COSTS]
    return "\n".join(
        [
            f"## {shown.table.title}: the cost",
            "",
            f"| {' | '.join(head)} |",
            f"|{'|'.join([':--'] * len(wanted) + ['--:'] * len(COSTS))}|",
            *(f"| {' | '.join([*label, *cells])} |" for label, cells in rows.items()),
            "",
            "Parameters that are learnt; seconds of training and evaluating a run, mean over seeds; milliseconds of "
            "comparing one query on one CPU thread, without CLIP, ~ extrapolated from fewer videos; bytes of float16 "
            "that an index keeps of a video of the most frames; – where no query can be scored alone.",
        ]
    )


def _cells(row: Row, costs: Costs) -> list[str]:
    trained = (
        [f"{row.results[0].parameters:,}", f"{average([result.seconds for result in row.results]):.1f}"]
        if row.results
        else ["–", "–"]
    )
    cost = costs.get(model_name(row.cell.config))
    if cost is None or cost.milliseconds is None:
        return [*trained, *["–"] * (len(SEARCH_SIZES) + 1)]
    times = [("~" if cost.extrapolated(size) else "") + _time(cost.milliseconds[size]) for size in SEARCH_SIZES]
    return [*trained, *times, f"{cost.bytes_per_video:,}"]


def _time(milliseconds: float) -> str:
    """About three digits."""
    return f"{milliseconds:,.{2 if milliseconds < 10 else 1 if milliseconds < 100 else 0}f}"


def _shape(store: FeatureStore) -> FeatureShape:
    frames = max(store.settings.max_frames or 0, int(store.frame_count.max(initial=1)))
    return FeatureShape(
        embed_dim=store.settings.embed_dim,
        max_frames=frames,
        clip_logit_scale=float(store.settings.clip_logit_scale),
        max_words=store.word_tokens.longest if store.has_word_tokens else 0,
    )


def _kept(path: Path) -> Costs:
    """What an earlier call measured; nothing where it is not there, damaged, or of other code."""
    try:
        kept = json.loads(read_regular(path))
        if kept["code"] != code_version():
            return {}
        return {name: _read(**cost) for name, cost in kept["costs"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _read(milliseconds: Mapping[str, float] | None, measured: int, bytes_per_video: int | None) -> SearchCost:
    times = None if milliseconds is None else {size: float(milliseconds[str(size)]) for size in SEARCH_SIZES}
    return SearchCost(times, int(measured), None if bytes_per_video is None else int(bytes_per_video))
