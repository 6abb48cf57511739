"""A run's model card with what its evaluations found."""

from __future__ import annotations

import shlex
from pathlib import Path

from ..pipeline.errors import CamoeError
from ..pipeline.store import describe_shortfall
from ..pipeline.too_few import too_few
from ..pipeline.wording import counted
from ..train.card import CardFacts, Numbers, write_card
from ..train.run_folder import Run
from .names import DIRECTIONS, METRICS
from .result import FOLDER, Evaluation, read_evaluation
from .table import cost_parts, told_otherwise


def refresh_card(run: Run) -> str | None:
    """Write the card from `run.json` and every evaluation in the folder; returns what to say where it could not be."""
    evaluations = _evaluations(run.path)
    costs = sorted((one.cost for one in evaluations if one.cost), key=lambda cost: bool(cost.milliseconds))
    facts = CardFacts(
        run.path.resolve().name,
        run.title,
        run.config,
        run.record,
        tuple(map(_numbers, evaluations)),
        tuple(("a search", part) for part in cost_parts(costs[-1])[2:]) if costs else (),
    )
    try:
        return write_card(run.path, facts)
    except OSError as error:
        return f"the model card of {run.path} could not be written ({error.strerror})"


def _evaluations(folder: Path) -> list[Evaluation]:
    """Those on the run's own store first; what is damaged is left out."""
    found = []
    for path in sorted((folder / FOLDER).glob("*.json")):
        if path.name.startswith("transfer-"):
            continue
        try:
            found.append(read_evaluation(path))
        except CamoeError:
            continue
    return sorted(found, key=lambda evaluation: (not evaluation.store.own, evaluation.subset != "test"))


def _numbers(evaluation: Evaluation) -> Numbers:
    store = evaluation.store
    return Numbers(
        title=f"{evaluation.subset} of {store.name}, protocol {evaluation.protocol}",
        head=("re-ranking", *(f"{direction.upper()} {metric}" for direction in DIRECTIONS for metric in METRICS)),
        rows=tuple(
            (
                ("raw" if name == "none" else name) + (" *" if result.transductive else ""),
                *(f"{result[direction][metric]:.1f}" for direction in DIRECTIONS for metric in METRICS),
            )
            for name, result in evaluation.rerankings.items()
        ),
        notes=tuple(_notes(evaluation)),
        command=_command(evaluation),
    )


def _notes(evaluation: Evaluation) -> list[str]:
    store = evaluation.store
    notes = [
        f"{counted(evaluation.captions, 'caption')} of {counted(evaluation.videos, 'video')}, a guess reaches text to "
        f"video R@1 {100 / evaluation.videos:.1f}; R@K in percent, ties rank last, video to text as {evaluation.v2t}"
    ]
    if few := too_few(evaluation.videos, f"{evaluation.subset} videos"):
        notes.append(few)
    if any(result.transductive for result in evaluation.rerankings.values()):
        notes.append("* needs all queries at once (transductive): do not compare with raw numbers")
    if evaluation.missing_captions:
        notes.append(f"INCOMPLETE: {counted(evaluation.missing_captions, 'caption')} left out (no video features)")
    if short := describe_shortfall(evaluation.shortfall):
        notes.append(f"INCOMPLETE: this copy of the data set has {', '.join(short)}")
    if not store.own:
        notes.append(f"the store is not the one the run was trained on; its content hash is {store.content_hash}")
    if store.made_otherwise:
        notes.append(f"the store was {told_otherwise(store)}")
    return notes


def _command(evaluation: Evaluation) -> str:
    words = ["camoe-evaluate", "--run", evaluation.run, "--protocol", evaluation.protocol]
    words += ["--subset", evaluation.subset, "--rerank", ",".join(evaluation.rerankings), "--v2t", evaluation.v2t]
    return shlex.join(words) + ("" if evaluation.store.own else f" --features STORE  # {evaluation.store.name}")
