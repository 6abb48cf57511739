"""Reports: `report(paths, config)` evaluates runs, writes the page about them, and tells where it lies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from markupsafe import Markup

from ...pipeline.progress import Bar
from ...pipeline.store import describe_shortfall
from ...pipeline.too_few import too_few
from ...pipeline.wording import counted
from ..table import told_otherwise
from .compared import check_alike, compare_runs, distinct_names
from .config import ReportConfig
from .examples import Group, text_examples, video_examples
from .material import Material, Reference, open_material, zero_shot
from .numbers import headline, run_kind, stream_table
from .origins import DslEffect, GateView, HubRow, dsl_effect, gate_views, hub_rows
from .page import check_out, render, write
from .pictures import Pictures
from .plots import learning_curves, rank_plot, recall_plot
from .sweeps import FOLDER, Part, is_sweep, read_sweep
from .tables import Table


@dataclass(frozen=True)
class RunView:
    """One run's part of the page."""

    name: str
    kind: str
    facts: list[tuple[str, str]]
    warnings: list[str]
    plots: list[Markup]
    gap: list[tuple[str, float, float]]
    gap_videos: int
    streams: Table | None
    gates: list[GateView]
    effect: DslEffect | None = None
    hubs: dict[str, list[HubRow]] = field(default_factory=dict)
    texts: list[Group] = field(default_factory=list)
    videos: list[Group] = field(default_factory=list)
    emcl: bool = False


def report(paths: Sequence[Path], config: ReportConfig, say: Callable[[str], None] = lambda line: None) -> Path:
    """Write the report of runs, or of a sweep's folder; returns its page.

    `say` is told what is being done. Raises `CamoeError` for what is neither, for runs that cannot be compared, or for
    an `out` that holds something else; nothing is written then.
    """
    out = config.out or (paths[0] / FOLDER if len(paths) == 1 else Path(FOLDER))
    check_out(out)
    sweeps = [read_sweep(path) for path in paths if is_sweep(path)]
    runs = [path for path in paths if not is_sweep(path)]
    return write(out, _page(sweeps, runs, config, out, say))


def _page(
    sweeps: list[list[Part]],
    runs: list[Path],
    config: ReportConfig,
    out: Path,
    say: Callable[[str], None],
) -> str:
    values: dict[str, Any] = {"sweeps": sweeps, "title": " · ".join(parts[0].title for parts in sweeps)}
    if not runs:
        return render(values)
    materials = []
    for run in runs:
        say(f"evaluating {run}")
        materials.append(open_material(run, config))
    check_alike(materials)
    reference = zero_shot(materials[0])
    pictures = Pictures.of(materials[0].subject.store, config.videos)
    names = distinct_names(materials)
    first = materials[0].evaluation
    values |= {
        "title": " · ".join([*names, *(parts[0].title for parts in sweeps)]),
        "headline": headline(materials, reference),
        "notes": _notes(materials),
        "few": too_few(first.videos, f"{first.subset} videos"),
        "compared": compare_runs(materials, pictures),
        "runs": [
            _run_view(material, name, reference, pictures) for material, name in zip(materials, names, strict=True)
        ],
    }
    if config.pictures:
        _make_pictures(pictures, out, say)
        values["grey"] = pictures.missing
    return render(values | {"tile": pictures.tile})


def _make_pictures(pictures: Pictures, out: Path, say: Callable[[str], None]) -> None:
    say(f"taking frames out of {counted(pictures.videos, 'video')} in {pictures.root or 'a folder that is not known'}")
    with Bar(pictures.videos, " videos", desc="frames") as bar:
        pictures.make(out, bar.advance)


def _run_view(material: Material, name: str, reference: Reference | None, pictures: Pictures) -> RunView:
    gap = material.evaluation.gap
    view = RunView(
        name=name,
        kind=run_kind(material),
        facts=facts(material),
        warnings=warnings(material),
        plots=[*learning_curves(material), recall_plot(material, reference), rank_plot(material)],
        gap=[(side, gap.train[side], gap.val[side]) for side in ("t2v", "v2t")] if gap else [],
        gap_videos=gap.videos if gap else 0,
        streams=stream_table(material),
        gates=gate_views(material, pictures),
    )
    return replace(
        view,
        effect=dsl_effect(material, pictures),
        hubs=hub_rows(material, pictures),
        texts=text_examples(material, pictures),
        videos=video_examples(material, pictures),
        emcl=material.subject.run.config.emcl,
    )


def facts(material: Material) -> list[tuple[str, str]]:
    """What a reviewer asks first, as names and values."""
    found, run, store = material.evaluation, material.subject.run, material.subject.store
    training, settings = found.training, store.settings
    selection = training.selection
    chosen = f"epoch {selection['epoch']} of {run.record['epochs']}" if "epoch" in selection else "nothing to choose"
    if "R@1" in selection:
        chosen += f", by R@1 {selection['R@1']:.1f} on val (mean of both directions, raw)"
    streams = ", ".join(f"{name} ({strategy})" for name, strategy in training.streams.items())
    sampling = f"{settings.fps:g} frames a second, at most {settings.max_frames}, {settings.sampling}"
    own = "" if found.store.own else f", while the run was trained on {found.store.trained_on[:12]}"
    return [
        ("run", found.run),
        ("model", f"{run_kind(material)}, {run.record['parameters']:,} parameters"),
        ("streams", streams),
        ("chosen", chosen),
        ("protocol", f"{found.protocol}, subset {found.subset}, video to text as {found.v2t}"),
        ("queries", f"{found.captions:,} captions of {found.videos:,} videos"),
        ("shortfall", "; ".join(_shortfall(material)) or "none"),
        ("store", f"{found.store.name}, content {found.store.content_hash[:12]}{own}"),
        ("CLIP", f"{found.store.clip_model}, SHA-256 {found.store.clip_sha256[:12]}"),
        ("frames", sampling if settings.fps else "how they were sampled is not known"),
        ("seed", f"{training.seed} in training, {material.config.seed} of the bootstrap and of what is drawn here"),
    ]


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


def _notes(materials: Sequence[Material]) -> list[str]:
    config = materials[0].config
    notes = [
        f"R@K in percent; ranks from 1, ties rank last. Below each number its 95 % interval: {config.bootstrap} "
        "bootstrap resamples of the queries, the captions of a video drawn together."
    ]
    if any(result.transductive for one in materials for result in one.evaluation.rerankings.values()):
        notes.append("* needs all queries at once (transductive): a search engine does not have them.")
    notes.append(
        "zero-shot: mean-pooled frames against the whole caption, nothing learnt. chance: a guess, in expectation."
    )
    return notes
