"""How long the commands' `--help` takes, and `camoe-evaluate` of a small run; with --demo the demo as well.

    python benchmarks/start_up.py [--rounds 3] [--demo]

Each is a process of its own, started as the console script starts it. The run is of 100 made-up videos; it is trained
beforehand.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

import figures
from camoe.train.config import TrainConfig
from camoe.train.loop import fit
from commands import seconds
from figures import Figure
from made_up_store import make_store

COMMANDS = {
    "camoe": "camoe.cli",
    "camoe-extract": "camoe.extract.cli",
    "camoe-train": "camoe.train.cli",
    "camoe-evaluate": "camoe.evaluate.cli",
    "camoe-sweep": "camoe.evaluate.sweep.cli",
    "camoe-search": "camoe.evaluate.search.cli",
    "camoe-report": "camoe.evaluate.report.cli",
    "camoe-store": "camoe.pipeline.store.cli",
    "camoe-demo": "camoe.pipeline.demo.cli",
}
MOST_HELP, MOST_EVALUATE, MOST_DEMO = 0.5, 5.0, 90.0
"""Our aims, in seconds."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--demo", action="store_true")
    parser.add_argument(figures.OPTION, help=figures.HELP)
    options = parser.parse_args()
    taken = {name: of(options.rounds, module, "--help") for name, module in COMMANDS.items()}
    for name, spent in taken.items():
        print(f"{name + ' --help':28}{spent:8.2f} s", flush=True)
    slowest = max(taken, key=lambda name: taken[name])
    figures.tell(options.json, Figure(f"{slowest} --help, the slowest", taken[slowest], "s", most=MOST_HELP))
    with tempfile.TemporaryDirectory() as name:
        store, run = Path(name) / "store.h5", Path(name) / "run"
        make_store(store, 100, captions_each=2, held=20)
        fit(TrainConfig(features=(str(store),), out=run, epochs=1, device="cpu"))
        spent = of(options.rounds, "camoe.evaluate.cli", "--run", run, "--device", "cpu")
        print(f"{'camoe-evaluate, a small run':28}{spent:8.2f} s", flush=True)
        figures.tell(options.json, Figure("camoe-evaluate of a small run", spent, "s", most=MOST_EVALUATE))
        if options.demo:
            spent = of(1, "camoe.pipeline.demo.cli", "--out", Path(name) / "demo")
            print(f"{'camoe-demo':28}{spent:8.2f} s", flush=True)
            figures.tell(options.json, Figure("camoe-demo", spent, "s", most=MOST_DEMO))


def of(rounds: int, module: str, *arguments: object) -> float:
    return statistics.median(seconds(module, *arguments) for _ in range(rounds))


if __name__ == "__main__":
    main()
