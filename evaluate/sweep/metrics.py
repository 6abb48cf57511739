"""A sweep's results as the tidy table that evaluations write too."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ...pipeline.store import SUBSETS
from ...train.config import TrainConfig
from ..cost import told_cost
from ..names import DIRECTIONS, RERANKINGS
from ..tidy import metric_rows
from .costs import Costs, model_name
from .plan import Plan
from .result import OK, Result, reranking_name


def sweep_rows(plan: Plan, results: Mapping[str, Result], costs: Costs) -> Iterator[dict[str, Any]]:
    """The rows of every run that is finished, under every re-ranking that its cells ask for."""
    names = _cell_names(plan)
    for key, run in plan.runs.items():
        result = results.get(key)
        if result is None or result.status != OK:
            continue
        facts = _facts(plan, run.config, result)
        cost = told_cost(result.parameters, result.seconds, costs.get(model_name(run.config)))
        for rerank, temperature in run.rerankings:
            label = reranking_name((rerank, temperature))
            about = {
                "name": names.get((key, label), run.name.removesuffix(f", seed {result.seed}")),
                "rerank": rerank,
                "rerank_options": json.dumps({} if temperature is None else {"temperature": temperature}),
                "transductive": run.config.emcl or RERANKINGS[rerank].transductive,
            }
            for direction in DIRECTIONS:
                yield from metric_rows(facts | about, cost, direction, result.metrics[label][direction])


def _cell_names(plan: Plan) -> dict[tuple[str, str], str]:
    """By run and re-ranking."""
    return {
        (key, reranking_name(cell.config.reranking)): cell.name
        for cell in plan.sweep.cells
        for key in plan.keys[cell.identity]
    }


def _facts(plan: Plan, config: TrainConfig, result: Result) -> dict[str, Any]:
    trained, store = config.facts.trains, plan.store
    asked = int((store.protocols[plan.protocol] == SUBSETS["test"]).sum())
    return {
        "run": result.key,
        "model": config.model,
        "loss": config.loss if trained else None,
        "loss_temperature": config.loss_temperature if trained and config.loss == "dsl" else None,
        "seed": result.seed,
        "tags": list(plan.tags),
        "store": store.content_hash,
        "trained_on": store.content_hash,
        "clip_model": store.settings.clip_model,
        "protocol": plan.protocol,
        "subset": "test",
        "captions": len(result.owner),
        "videos": result.videos,
        "incomplete": len(result.owner) < asked or bool(store.shortfall.get(plan.protocol)),
        "v2t": "c4c",
    }
