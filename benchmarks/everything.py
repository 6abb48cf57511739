"""Every benchmark at a size that ends in ten minutes on two cores, one after another, and one table: `make bench`.

    python benchmarks/everything.py [--videos DIR] [--captions FILE] [--only text,training] [--minutes 10]
    python benchmarks/everything.py --small       # as small as it goes: checks the scripts, the figures mean nothing

Without DIR, ffmpeg renders ten clips of 4 to 15 s; without FILE (MSVD's JSON, or a text file of one sentence a line)
the demo's captions are taken. Weights are random, of ViT-B/32. Each part is a process of its own with a limit of its
own; what fails, or comes to no end in time, is named below the table, and the exit status is then 1. A missed aim is
told in the table only. Figures count on a machine that does nothing else.

Not here: `gpu.py` (a GPU), `frame_fidelity.py`, `search_cutoff.py` and `field_table.py` (how good, not how fast).
"""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from camoe.extract.precision import processor_units
from camoe.pipeline.demo.captions import captions_of
from camoe.pipeline.demo.world import make_clips
from clips import render_clips
from figures import HELP, OPTION, Figure, read, tell
from random_clip import random_vit_b32

HERE = Path(__file__).resolve().parent
VIDEOS, CAPTIONS, WEIGHTS = "{videos}", "{captions}", "{weights}"
MOST_LOAD = 0.5


@dataclass(frozen=True)
class Part:
    """A script, its options, those that make it as small as it goes, and the seconds that it has of ten minutes."""

    script: str
    options: str
    small: str
    limit_s: int


PARTS = {
    "start-up": Part("start_up.py", "--rounds 2", "--rounds 1", 60),
    "text": Part(
        "text_encoding.py", f"--captions {CAPTIONS} --count 600 --clip {WEIGHTS}",
        f"--captions {CAPTIONS} --count 4 --clip {WEIGHTS}", 120,
    ),
    "videos": Part(
        "video_extraction.py", f"--videos {VIDEOS} --copies 1 --repeats 3 --clip {WEIGHTS}",
        f"--videos {VIDEOS} --copies 1 --repeats 1 --clip {WEIGHTS}", 180,
    ),
    "small folders": Part(
        "small_folders.py", f"--videos {VIDEOS} --clips 8 --busy --clip {WEIGHTS}",
        f"--videos {VIDEOS} --clips 1 --busy --clip {WEIGHTS}", 240,
    ),
    "precision": Part(
        "precision.py", f"--frames 16 --batches 16 --clip {WEIGHTS}",
        f"--frames 2 --batches 2 --rounds 1 --clip {WEIGHTS}", 60,
    ),
    "long videos": Part("long_video.py", "--lengths 120", "--lengths 2", 90),
    "many videos": Part("scale.py", "--few 100 --many 600", "--few 2 --many 4", 90),
    "store": Part("open_store.py", "--videos 2000 --captions 40000", "--videos 20 --captions 40 --runs 1", 45),
    "large store": Part("large_store.py", "--small", "--shards 4 --videos 40 --captions 80", 60),
    "training": Part(
        "train_epoch.py",
        "--scale 0.1 --rounds 2 --steps 4 --rows 'camoe mean' 'camoe attention' 'camoe attention bf16'",
        "--scale 0.001 --batch-size 4 --rounds 1 --steps 2 --rows 'camoe mean' 'camoe attention'", 150,
    ),
    "features elsewhere": Part("resident.py", "--small --heads mean", "--small --heads mean --epochs 1", 60),
    "sweep": Part(
        "sweep.py", "--only cells --quick --rounds 1",
        "--only cells --quick --rounds 1 --cells 4 --epochs 1 --videos 200 --embed-dim 64", 120,
    ),
    "ranking": Part(
        "ranking.py", "--sizes 10000 --blocks-only 20000 --runs 1", "--sizes 100 --blocks-only 200 --runs 1", 60
    ),
    "re-ranking": Part("reranking.py", "--size 10000 --bank 2000", "--size 100 --bank 20", 45),
    "report": Part("report.py", "--train 200 --captions 1 --repeats 1", "--train 20 --captions 1 --repeats 1", 120),
    "search": Part("search.py", "--exact-only --queries 20", "--exact-only --videos 20 --queries 1", 120),
}  # fmt: skip
COLUMNS = (74, 17, 17, 9, 15)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=Path, help="a folder of videos (default: clips made by ffmpeg)")
    parser.add_argument("--captions", type=Path, help="a file of captions (default: the demo's)")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, in this order (default: all)")
    parser.add_argument("--minutes", type=float, default=10.0, help="for all parts together; each may take its share")
    parser.add_argument("--small", action="store_true", help="as small as it goes")
    parser.add_argument("--show", action="store_true", help="also print what the scripts themselves print")
    parser.add_argument(OPTION, help=HELP)
    options = parser.parse_args()
    if unknown := [name for name in options.only.split(",") if name not in PARTS]:
        parser.error(f"--only: {unknown[0]!r} is no part; there are {', '.join(PARTS)}")
    with tempfile.TemporaryDirectory() as folder:
        troubles = measure(options, Path(folder))
    print("\n".join(troubles))
    sys.exit(1 if troubles else 0)


def measure(options: argparse.Namespace, folder: Path) -> list[str]:
    """Prints the table, and returns what went wrong."""
    started = time.monotonic()
    wanted = {name: PARTS[name] for name in options.only.split(",")}
    print(machine(), flush=True)
    given = {VIDEOS: options.videos, CAPTIONS: options.captions, WEIGHTS: folder / "vit-b-32.pt"}
    asked = " ".join(part.options for part in wanted.values())
    if VIDEOS in asked and options.videos is None:
        given[VIDEOS] = render_clips(folder / "videos")
    if CAPTIONS in asked and options.captions is None:
        given[CAPTIONS] = write_captions(folder / "captions.txt")
    if WEIGHTS in asked:
        random_vit_b32(given[WEIGHTS])
    print(
        f"videos: {options.videos or 'ten clips of patterns with noise'}; "
        f"captions: {options.captions or 'of the demo, which share more words than real ones'}; "
        f"weights: random ViT-B/32{'; as small as it goes: the figures mean nothing' if options.small else ''}\n"
    )
    line("what", "plain way", "ours", "ratio", "aim", "")
    troubles: list[str] = []
    figures: list[Figure] = []
    for name, part in wanted.items():
        left = 60 * options.minutes - (time.monotonic() - started)
        if left <= 0:
            troubles.append(f"{name}: not begun, the {options.minutes:g} minutes were over")
            continue
        figures += run_part(
            name, part, given, min(left, part.limit_s * options.minutes / 10), options, folder, troubles
        )
    aimed = [figure for figure in figures if figure.held is not None]
    print(
        f"\n{sum(figure.held is True for figure in aimed)} of {len(aimed)} aims held; "
        f"{(time.monotonic() - started) / 60:.1f} minutes in all"
    )
    return troubles


def run_part(
    name: str, part: Part, given: dict[str, Path], limit_s: float, options: argparse.Namespace, folder: Path,
    troubles: list[str],
) -> list[Figure]:  # fmt: skip
    """The figures of a part, printed too; what was told before it failed or its time was over counts."""
    told = folder / f"{part.script}.jsonl"
    words = [sys.executable, "-W", "ignore", str(HERE / part.script), *arguments(part, given, small=options.small)]
    out = None if options.show else subprocess.DEVNULL
    with tempfile.TemporaryFile("w+") as complaints:
        child = subprocess.Popen([*words, OPTION, str(told)], stdout=out, stderr=complaints, start_new_session=True)
        try:
            status: int | None = child.wait(limit_s)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            end(child)
        complaints.seek(0)
        last = "".join(complaints.read().strip().splitlines()[-1:])
    if status is None:
        troubles.append(f"{name}: ended after {limit_s:.0f} s")
    elif status:
        troubles.append(f"{name}: failed; {last}")
    found = read(told)
    for figure in found:
        tell(options.json, figure)
        line(*cells(figure))
    return found


def end(child: subprocess.Popen[bytes]) -> None:
    """The part's whole session, if it still runs."""
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def arguments(part: Part, given: dict[str, Path], *, small: bool) -> Iterator[str]:
    for word in shlex.split(part.small if small else part.options):
        yield str(given.get(word, word))


def cells(figure: Figure) -> tuple[str, ...]:
    plain = shown(figure.plain, figure.unit) if figure.plain is not None else ""
    ratio = f"{figure.ratio:.2f}x" if figure.ratio is not None else ""
    verdict = {None: "", True: "held", False: "missed"}[figure.held]
    return figure.what, plain, shown(figure.ours, figure.unit), ratio, figure.aim, verdict


def shown(value: float, unit: str) -> str:
    """With about three digits."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f} {unit}"


def line(what: str, *rest: str) -> None:
    columns = "".join(f"{cell:>{width}}" for cell, width in zip(rest[:-1], COLUMNS[1:], strict=True))
    print(f"{what:{COLUMNS[0]}}{columns}  {rest[-1]}".rstrip(), flush=True)


def machine() -> str:
    """The processor, what it computes with, and versions; and whether it has other work."""
    cores, load = len(os.sched_getaffinity(0)), os.getloadavg()[0]
    told = (
        f"{processor()} ({processor_units()}), {cores} cores, {torch.get_num_threads()} threads; "
        f"torch {torch.__version__}, Python {platform.python_version()}"
    )
    return told if load < MOST_LOAD else f"{told}\nload {load:.1f} at the start: other processes spoil these figures"


def processor() -> str:
    for text in Path("/proc/cpuinfo").read_text().splitlines():
        if text.startswith("model name"):
            return text.split(":", 1)[1].strip()
    return platform.machine()


def write_captions(path: Path) -> Path:
    """The demo's captions, each once, in the order of its clips."""
    captions = dict.fromkeys(caption for clip in make_clips() for caption in captions_of(clip))
    path.write_text("\n".join(captions) + "\n", encoding="utf-8")
    return path


if __name__ == "__main__":
    main()
