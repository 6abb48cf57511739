"""The demo: a rendered world goes through the user's own commands, and the measured numbers are laid side by side."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from importlib.metadata import entry_points
from multiprocessing import get_context
from pathlib import Path

from ..atomic import write_atomic
from ..children import end_with_parent
from ..config import Config, setting
from ..cores import usable_cores
from ..errors import CamoeError
from ..ffmpeg_binary import find_ffmpeg
from ..wording import counted
from ..writable import check_writable
from .dataset import CAPTION_FILE, VIDEO_FOLDER, write_dataset
from .table import Row, chance_row, format_table, measured_row, plot_table
from .worlds import WORLDS, AnyClip, world_of

SUBSET, STORE, LOG = "test", "shards.h5", "demo.log"
REPORTED = ("camoe-dsl-0", "camoe-0")
"""The runs that the report is about."""
SLOW_TO_IMPORT = ("torch", "h5py", "pyarrow.compute", "pandas", "safetensors.torch")


@dataclass(frozen=True, kw_only=True)
class DemoConfig(Config):
    """What the demo runs."""

    out: Path = setting(Path("camoe-demo"), help="Folder for the videos, the store, the runs and the plot.")
    size: str = setting(
        "default", help="Which world and how many clips; small is for a quick look.", choices=lambda: WORLDS
    )
    seeds: int = setting(3, help="Training runs of each kind.")
    epochs: int | None = setting(None, help="Epochs of each training run; none: camoe-train's default.")

    def check(self) -> None:
        if self.seeds < 1:
            raise CamoeError(f"seeds must be at least 1, not {self.seeds}")


@dataclass(frozen=True)
class Experiment:
    """One line of the table: its run folders' name, the options of `camoe-train`, and which re-ranking is shown."""

    title: str
    name: str
    options: tuple[str, ...]
    rerank: str = "none"

    @property
    def trained(self) -> bool:
        return "zero-shot" not in self.options


EXPERIMENTS = (
    Experiment("zero-shot, mean pooling", "zero-shot", ("--model", "zero-shot", "--streams", "fusion")),
    Experiment("zero-shot, three streams", "zero-shot-streams", ("--model", "zero-shot")),
    Experiment("CAMoE", "camoe", ("--loss", "ce")),
    Experiment("CAMoE, frames shuffled", "camoe-shuffled", ("--loss", "ce", "--shuffle-frames")),
    Experiment("CAMoE + DSL in training", "camoe-dsl", ("--loss", "dsl")),
    Experiment("CAMoE + DSL, re-ranked by DSL *", "camoe-dsl", ("--loss", "dsl"), rerank="dsl"),
)


def run_demo(config: DemoConfig, say: Callable[[str], None]) -> list[Row]:
    """Run the demo, telling `say` what happens; returns the table's rows.

    Raises `CamoeError` when `config.out` holds something else.
    """
    started = time.monotonic()
    # Hundreds of short clips: the bundled static build starts five times faster than a distribution's.
    ffmpeg = find_ffmpeg(prefer_bundled=True)
    out = config.out
    check_writable(out, inside=True)
    out.mkdir(parents=True, exist_ok=True)
    clips = _prepare_videos(config, say)
    videos = sum(clip.subset == SUBSET for clip in clips)
    with _workers(ffmpeg) as pool:
        say(f"$ export CAMOE_FFMPEG={shlex.quote(ffmpeg)}")  # another ffmpeg decodes to slightly other frames
        say(_command_line("camoe-extract", _extract_options(config)))
        text = pool.submit(_run, "camoe-extract", _extract_options(config), show_progress=True).result()
        say(text)
        _log(out, text)
        evaluated, report = _run_experiments(pool, config, say)
        rows = [chance_row(videos)]
        rows += [measured_row(row.title, evaluated[row.name], row.rerank) for row in EXPERIMENTS]
        written = json.dumps([row.as_dict() for row in rows], indent=2) + "\n"
        write_atomic(out / "table.json", written)
        plot_table(rows, out / "table.png")
        page = report.result()
    for what in (VIDEO_FOLDER, CAPTION_FILE, STORE, "runs", LOG):
        say(f"{out / what}")
    say(f"{out / 'table.json'}\n{out / 'table.png'}\n\n{format_table(rows, videos)}")
    search = _command_line("camoe-search", ["--run", str(out / "runs" / REPORTED[0]), "--serve"])
    say(f"\nopen in a browser: {page}\nsearch these videos: {search}")
    say(f"\nThe whole demo took {time.monotonic() - started:.0f} s.")
    return rows


@contextlib.contextmanager
def _workers(ffmpeg: str) -> Iterator[ProcessPoolExecutor]:
    """A process a core; where the system can, they are forked from one that has imported what takes seconds."""
    context = get_context("forkserver" if sys.platform == "linux" else "spawn")
    context.set_forkserver_preload([*SLOW_TO_IMPORT, __name__])
    pool = ProcessPoolExecutor(usable_cores(), mp_context=context, initializer=_begin, initargs=(ffmpeg,))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)  # of a demo that fails or is stopped, what has not begun


def _begin(ffmpeg: str) -> None:
    os.environ["CAMOE_FFMPEG"] = ffmpeg
    end_with_parent()


def _prepare_videos(config: DemoConfig, say: Callable[[str], None]) -> list[AnyClip]:
    clips: list[AnyClip] = world_of(config.size).make_clips(config.size, 0)
    folder = config.out / VIDEO_FOLDER
    if (config.out / CAPTION_FILE).exists():
        if {path.stem for path in folder.glob("*.mp4")} != {clip.video_id for clip in clips}:
            raise CamoeError(f"{config.out} holds a demo of another size; give another --out")
        say(f"{counted(len(clips), 'video')} already in {folder}")
        return clips
    say(f"rendering {counted(len(clips), 'video')} into {folder}")
    write_dataset(config.out, config.size)
    return clips


def _extract_options(config: DemoConfig) -> list[str]:
    out, world = config.out, world_of(config.size)
    inputs = ["--videos", str(out / VIDEO_FOLDER), "--captions", str(out / CAPTION_FILE), "--out", str(out / STORE)]
    return [*inputs, "--clip", world.weights, *world.sampling, "--precision", "fp32", "--tokens"]


def _run_experiments(
    pool: ProcessPoolExecutor, config: DemoConfig, say: Callable[[str], None]
) -> tuple[dict[str, list[dict]], Future[str]]:
    """Train and evaluate every experiment with every seed: evaluations by experiment, and the report's page to come.

    The report is written while the last runs still train.
    """
    jobs = [
        (experiment, seed)
        for experiment in {row.name: row for row in EXPERIMENTS}.values()
        for seed in range(config.seeds if experiment.trained else 1)
    ]
    evaluated: dict[str, list[dict]] = {}
    missing: set[str] = set(REPORTED)
    report: Future[str] | None = None
    running = [pool.submit(_train_and_evaluate, experiment, seed, config) for experiment, seed in jobs]
    for (experiment, seed), job in zip(jobs, running, strict=True):
        result, commands, text = job.result()
        raw = result["rerankings"]["none"]
        say("\n".join(commands))
        say(f"  R@1 on test clips: text to video {raw['t2v']['R@1']:.1f}, video to text {raw['v2t']['R@1']:.1f}")
        _log(config.out, text)
        evaluated.setdefault(experiment.name, []).append(result)
        missing.discard(f"{experiment.name}-{seed}")
        if report is None and not missing:
            report = pool.submit(_write_report, config)
    assert report is not None
    return evaluated, report


def _write_report(config: DemoConfig) -> str:
    """Where the page about the first trained runs is."""
    _one_thread()
    runs = [str(config.out / "runs" / name) for name in REPORTED]
    return _run("camoe-report", [*runs, "--out", str(config.out / "report")]).splitlines()[-1]


def _one_thread() -> None:
    """For work beside which other processes work: threads that wait for each other would slow all of them down."""
    import torch

    torch.set_num_threads(1)


def _train_and_evaluate(experiment: Experiment, seed: int, config: DemoConfig) -> tuple[dict, list[str], str]:
    """One run: its evaluation, the commands, and what they printed."""
    _one_thread()
    run = config.out / "runs" / f"{experiment.name}-{seed}"
    train = ["--features", str(config.out / STORE), "--out", str(run), "--overwrite", *experiment.options]
    train += ["--seed", str(seed)]
    if experiment.trained and config.epochs is not None:
        train += ["--epochs", str(config.epochs)]
    steps = [("camoe-train", train), ("camoe-evaluate", ["--run", str(run), "--rerank", "none,dsl"])]
    text = "".join(_run(name, options) for name, options in steps)
    (found,) = (run / "evaluation").glob(f"*-{SUBSET}.json")
    result: dict = json.loads(found.read_text(encoding="utf-8"))
    return result, [_command_line(name, options) for name, options in steps], text


def _command_line(name: str, options: list[str]) -> str:
    return f"$ {name} {shlex.join(options)}"


def _run(name: str, options: list[str], *, show_progress: bool = False) -> str:
    """Run one of the user's commands in this process, which saves it from importing torch anew; what it printed."""
    (command,) = entry_points(group="console_scripts", name=name)
    printed = io.StringIO()
    quiet = contextlib.nullcontext() if show_progress else contextlib.redirect_stderr(io.StringIO())
    with contextlib.redirect_stdout(printed), quiet:
        status = command.load()(options, standalone_mode=False)
    if status:
        raise CamoeError(f"{name} ended with status {status}: {printed.getvalue()}")
    return printed.getvalue()


def _log(out: Path, text: str) -> None:
    with open(out / LOG, "a", encoding="utf-8") as stream:
        stream.write(text + "\n")
