"""The demo: a rendered world goes through the user's own commands, and the measured numbers are laid side by side."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path

from ..config import Config, setting
from ..errors import CamoeError
from ..ffmpeg_binary import find_ffmpeg
from .dataset import CAPTION_FILE, VIDEO_FOLDER, write_dataset
from .table import Row, chance_row, format_table, measured_row, plot_table
from .world import SIZES, make_clips

SUBSET = "test"


@dataclass(frozen=True, kw_only=True)
class DemoConfig(Config):
    """What the demo runs."""

    out: Path = setting(Path("camoe-demo"), help="Folder for the videos, the store, the runs and the plot.")
    size: str = setting("default", help="How many clips; small is for a quick look.", choices=lambda: SIZES)
    seeds: int = setting(3, help="Training runs of each kind.")
    epochs: int | None = setting(None, help="Of each training run; none: camoe-train's default.")

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
    os.environ.setdefault("CAMOE_FFMPEG", find_ffmpeg(prefer_bundled=True))
    out = config.out
    videos, captions, store = out / VIDEO_FOLDER, out / CAPTION_FILE, out / "shards.h5"
    out.mkdir(parents=True, exist_ok=True)
    log = partial(_run, log=out / "demo.log", say=say)
    clips = _prepare_videos(config, say)
    log("camoe-extract", "--videos", videos, "--captions", captions, "--out", store, "--clip", "tiny", "--fps", 4,
        "--precision", "fp32", show=True)  # fmt: skip
    rows = [chance_row(sum(clip.subset == SUBSET for clip in clips))]
    evaluated: dict[str, list[dict]] = {}
    for experiment in EXPERIMENTS:
        if experiment.name not in evaluated:
            evaluated[experiment.name] = [
                _train_and_evaluate(experiment, seed, config, store, log, say)
                for seed in range(config.seeds if experiment.trained else 1)
            ]
        rows.append(measured_row(experiment.title, evaluated[experiment.name], experiment.rerank))
    (out / "table.json").write_text(json.dumps([row.as_dict() for row in rows], indent=2) + "\n", encoding="utf-8")
    plot_table(rows, out / "table.png")
    say(f"\nvideos {videos}\ncaptions {captions}\nstore {store}\nruns {out / 'runs'}\nlog {out / 'demo.log'}")
    say(f"numbers {out / 'table.json'}\nplot {out / 'table.png'}\n\n{format_table(rows)}")
    say(f"\nThe whole demo took {time.monotonic() - started:.0f} s.")
    return rows


def _prepare_videos(config: DemoConfig, say: Callable[[str], None]) -> list:
    clips = make_clips(config.size)
    folder = config.out / VIDEO_FOLDER
    if (config.out / CAPTION_FILE).exists():
        if {path.stem for path in folder.glob("*.mp4")} != {clip.video_id for clip in clips}:
            raise CamoeError(f"{config.out} holds a demo of another size; give another --out")
        say(f"{len(clips)} videos are already in {folder}")
        return clips
    say(f"rendering {len(clips)} videos into {folder}")
    write_dataset(config.out, config.size)
    return clips


def _train_and_evaluate(
    experiment: Experiment,
    seed: int,
    config: DemoConfig,
    store: Path,
    log: Callable[..., None],
    say: Callable[[str], None],
) -> dict:
    run = config.out / "runs" / f"{experiment.name}-{seed}"
    options: list[object] = [*experiment.options, "--seed", seed]
    if experiment.trained and config.epochs is not None:
        options += ["--epochs", config.epochs]
    log("camoe-train", "--features", store, "--out", run, "--overwrite", *options)
    log("camoe-evaluate", "--run", run, "--rerank", "none,dsl")
    (found,) = (run / "evaluation").glob(f"*-{SUBSET}.json")
    result: dict = json.loads(found.read_text(encoding="utf-8"))
    raw = result["rerankings"]["none"]
    say(f"  R@1 on test clips: text to video {raw['t2v']['R@1']:.1f}, video to text {raw['v2t']['R@1']:.1f}")
    return result


def _run(name: str, *options: object, log: Path, say: Callable[[str], None], show: bool = False) -> None:
    """Run one of the user's commands in this process, which saves it from importing torch anew each time.

    What it prints goes to the log, and with `show` to the terminal too.
    """
    arguments = [str(option) for option in options]
    line = f"$ {name} {shlex.join(arguments)}"
    say(line)
    (command,) = entry_points(group="console_scripts", name=name)
    printed = io.StringIO()
    started = time.monotonic()
    quiet = contextlib.nullcontext() if show else contextlib.redirect_stderr(io.StringIO())
    with contextlib.redirect_stdout(printed), quiet:
        status = command.load()(arguments, standalone_mode=False)
    text = printed.getvalue().rstrip()
    with open(log, "a", encoding="utf-8") as stream:
        stream.write(f"{line}\n{text}\n# {time.monotonic() - started:.1f} s\n\n")
    if show:
        say(text)
    if status:
        raise CamoeError(f"{name} ended with status {status}; see {log}")
