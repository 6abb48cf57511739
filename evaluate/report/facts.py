"""What a reader must know of a run beside its numbers: what it is, what was measured, what to beware of."""

from __future__ import annotations

from collections.abc import Sequence

from ...pipeline.store import StoreSettings, describe_shortfall
from ...pipeline.wording import counted
from ..table import told_otherwise
from .material import Material
from .numbers import run_kind


def facts(material: Material) -> list[tuple[str, str]]:
    """What a reviewer asks first, as names and values."""
    found, run, store = material.evaluation, material.subject.run, material.subject.store
    training, settings = found.training, store.settings
    selection = training.selection
    chosen = f"epoch {selection['epoch']} of {run.record['epochs']}" if "epoch" in selection else "nothing to choose"
    if "R@1" in selection:
        chosen += f", by R@1 {selection['R@1']:.1f} on val (mean of both directions, raw)"
    streams = ", ".join(f"{name} ({strategy})" for name, strategy in training.streams.items())
    own = "" if found.store.own else f", while the run was trained on {found.store.trained_on[:12]}"
    return [
        ("run", found.run),
        *([("tags", ", ".join(training.tags))] if training.tags else []),
        ("model", f"{run_kind(material)}, {run.record['parameters']:,} parameters"),
        ("streams", streams),
        ("chosen", chosen),
        ("protocol", f"{found.protocol}, subset {found.subset}, video to text as {found.v2t}"),
        ("queries", f"{counted(found.captions, 'caption')} of {counted(found.videos, 'video')}"),
        ("shortfall", "; ".join(_shortfall(material)) or "none"),
        ("store", f"{found.store.name}, content {found.store.content_hash[:12]}{own}"),
        ("CLIP", f"{found.store.clip_model}, SHA-256 {found.store.clip_sha256[:12]}"),
        ("frames", _sampling(settings)),
        ("seed", f"{training.seed} in training, {material.config.seed} of the bootstrap and of what is drawn here"),
    ]


def _sampling(settings: StoreSettings) -> str:
    if settings.fps is None:
        return "how they were sampled is not known"
    return f"{settings.fps:g} frames a second, at most {settings.max_frames}, {settings.sampling}"


def _shortfall(material: Material) -> list[str]:
    found = material.evaluation
    lines = list(describe_shortfall(found.shortfall))
    if found.missing_captions:
        lines.append(f"{counted(found.missing_captions, 'caption')} left out for want of features of the video")
    return lines


def warnings(material: Material) -> list[str]:
    """What a reader must know before the numbers."""
    found = material.evaluation
    lines = [f"Incomplete: {line}." for line in _shortfall(material)]
    if found.store.made_otherwise:
        lines.append(f"The store was {told_otherwise(found.store)}.")
    if not found.store.own:
        lines.append("The store is not the one that the run was trained on.")
    lines += [f"{name} is left out: {reason}." for name, reason in found.left_out.items()]
    if material.ambiguous:
        count = len(material.ambiguous)
        lines.append(f"Captions that several videos share word for word: {count} of {found.captions}; they are marked.")
    return lines


def notes(materials: Sequence[Material]) -> list[str]:
    config = materials[0].config
    lines = [
        f"R@K in percent; ranks from 1, ties rank last. Below each number its 95 % interval: {config.bootstrap} "
        "bootstrap resamples of the queries, the captions of a video drawn together."
    ]
    if any(result.transductive for one in materials for result in one.evaluation.rerankings.values()):
        lines.append("* needs all queries at once (transductive): a search engine does not have them.")
    lines.append(
        "zero-shot: mean-pooled frames against the whole caption, nothing learnt. chance: a guess, in expectation."
    )
    return lines
