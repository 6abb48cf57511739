"""Reports: `report(paths, config)` evaluates runs, writes the page about them, and tells where it lies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from markupsafe import Markup

from ...pipeline.errors import CamoeError
from ...pipeline.progress import Bar
from ...pipeline.too_few import too_few
from ...pipeline.wording import counted
from ...train.run_folder import Run, load_run
from .compared import compare_runs, distinct_names
from .config import ReportConfig
from .examples import Group, text_examples, video_examples
from .facts import facts, notes, warnings
from .folder import check_out, remove_unused, report_folder, write_page
from .material import Material, Reference, evaluated, open_subjects, zero_shot
from .numbers import headline, run_kind, stream_table
from .origins import DslEffect, GateView, HubRow, dsl_effect, gate_views, hub_rows
from .page import render
from .pictures import Pictures, check_videos
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

    `say` is told what is being done. Raises `CamoeError` for what is neither, for runs that cannot be compared, for an
    `out` that holds something else, or where another report is being written; nothing is written then.
    """
    _refuse_twice(paths)
    sweeps = [read_sweep(path) for path in paths if is_sweep(path)]
    runs = [load_run(path) for path in paths if not is_sweep(path)]
    check_videos(config.videos)
    out = config.out or (paths[0] / FOLDER if len(paths) == 1 else Path(FOLDER))
    check_out(out)
    with report_folder(out):
        text, shown = _page(sweeps, runs, config, out, say)
        page = write_page(out, text)
        remove_unused(out, shown)
    return page


def _refuse_twice(paths: Sequence[Path]) -> None:
    seen = set()
    for path in paths:
        if path.resolve() in seen:
            raise CamoeError(f"{path} is named twice; name each run once")
        seen.add(path.resolve())


def _page(
    sweeps: list[list[Part]], runs: list[Run], config: ReportConfig, out: Path, say: Callable[[str], None]
) -> tuple[str, set[str]]:
    """The page, and the addresses of the pictures that it shows, which are there then."""
    values: dict[str, Any] = {"sweeps": sweeps, "title": " · ".join(parts[0].title for parts in sweeps)}
    if not runs:
        return render(values), set()
    materials = []
    for subject in open_subjects(runs, config):
        say(f"evaluating {subject.run.path}")
        materials.append(evaluated(subject, config))
    reference = zero_shot(materials[0])
    pictures = Pictures.of(materials[0].subject.store, config.videos)
    names = distinct_names(materials)
    first = materials[0].evaluation
    values |= {
        "title": " · ".join([*names, *(parts[0].title for parts in sweeps)]),
        "headline": headline(materials, reference),
        "notes": notes(materials),
        "few": too_few(first.videos, f"{first.subset} videos"),
        "compared": compare_runs(materials, pictures),
        "runs": [
            _run_view(material, name, reference, pictures) for material, name in zip(materials, names, strict=True)
        ],
    }
    if config.pictures:
        _make_pictures(pictures, out, say)
        values["grey"] = pictures.missing
    return render(values | {"tile": pictures.tile}), pictures.shown


def _make_pictures(pictures: Pictures, out: Path, say: Callable[[str], None]) -> None:
    where = "" if pictures.root is None else f" in {pictures.root}"
    say(f"taking frames out of {counted(pictures.videos, 'video')}{where}")
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
