"""Many cells over one resident store against the same cells one after another; prints two tables.

    python benchmarks/sweep.py                              # 12 cells, mean experts, 2,000 videos
    python benchmarks/sweep.py --aggregator attention
    python benchmarks/sweep.py --only steps --device cuda   # the ensemble's step on a GPU

cells: `camoe-train`, a process a cell; `fit` called in one process; `camoe-sweep`, a process a core; `camoe-sweep
--ensemble`. The last two also rank the test captions and draw plots, which the first two do not. Of the first two some
cells are timed, their median stands for each; of the last two whole sweeps, the fastest is shown.

steps: one step of `M` members trained as one, against a step of one member by the trainer: time, operations that reach
the device, arithmetic and memory traffic. On a GPU the launch of small operations is what a single run waits for, so
that members are free until arithmetic or traffic take longer: projected here from the counts, for given rates.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import figures
import torch
import yaml
from camoe.train.config import TrainConfig
from camoe.train.ensemble import Ensemble
from camoe.train.feature_cache import FeatureCache
from camoe.train.loop import fit
from camoe.train.model import build_model
from camoe.train.trainer import Trainer
from figures import Figure
from made_up_store import make_store
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

LEAST_FASTER = 1.4
"""Our aim for a sweep in processes on two cores, against its cells one after another in one process."""
VIEWS = {torch.ops.aten.view, torch.ops.aten._unsafe_view, torch.ops.aten.t, torch.ops.aten.transpose,
         torch.ops.aten.expand, torch.ops.aten.detach, torch.ops.aten.slice, torch.ops.aten.select,
         torch.ops.aten.unsqueeze, torch.ops.aten.squeeze, torch.ops.aten.permute, torch.ops.aten.split,
         torch.ops.aten.split_with_sizes, torch.ops.aten.unbind, torch.ops.aten.alias, torch.ops.aten.diagonal,
         torch.ops.aten.reshape, torch.ops.aten.lift_fresh}  # fmt: skip


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def command(module: str, *options: object) -> None:
    """One of the package's commands as a user starts it."""
    code = f"from {module} import main; main()"
    words = [sys.executable, "-c", code, *map(str, options)]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def compare_cells(store: Path, folder: Path, options: argparse.Namespace) -> None:
    base = {"aggregator": options.aggregator, "epochs": options.epochs, "batch_size": options.batch_size}
    axes: dict[str, list[Any]] = {"loss": ["ce", "dsl"], "learning_rate": [1e-3, 3e-3]}
    seeds = list(range(options.cells // 4))
    grid = folder / "grid.yaml"
    grid.write_text(yaml.safe_dump({"base": base, "grid": axes, "seeds": seeds}))
    cells = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    runs = [cell | base | {"seed": seed} for cell in cells for seed in seeds]
    numbers = itertools.count()

    def by_train(run: dict[str, Any]) -> None:
        words = [word for name, value in run.items() for word in (f"--{name.replace('_', '-')}", value)]
        out = folder / f"run{next(numbers)}"
        command("camoe.train.cli", "--features", store, "--out", out, "--device", options.device, *words)

    def by_fit(run: dict[str, Any]) -> None:
        out = folder / f"run{next(numbers)}"
        fit(TrainConfig(features=(str(store),), out=out, device=options.device, **run))

    def by_sweep(*more: str) -> None:
        out = folder / f"sweep{next(numbers)}"
        shared = ("--features", store, "--grid", grid, "--out", out, "--device", options.device)
        command("camoe.evaluate.sweep.cli", *shared, *more)

    singles = {"camoe-train, a process each": by_train, "fit, one process": by_fit}
    sweeps = {f"camoe-sweep {way}": way for way in ("--no-ensemble", "--ensemble")}
    if options.quick:
        del singles["camoe-train, a process each"], sweeps["camoe-sweep --ensemble"]
    taken: dict[str, list[float]] = {name: [] for name in (*singles, *sweeps)}
    for _ in range(options.rounds):
        for name, way in sweeps.items():
            taken[name].append(timed(partial(by_sweep, way)))
        for name, single in singles.items():
            taken[name] += [timed(partial(single, run)) for run in runs[:: len(runs) // 3]]
    times = {name: min(taken[name]) for name in sweeps}
    times = {name: len(runs) * statistics.median(taken[name]) for name in singles} | times
    print(f"{len(runs)} cells, {options.aggregator} experts, {options.epochs} epochs, batch {options.batch_size}")
    slow, resident = times.get("camoe-train, a process each"), times["fit, one process"]
    print(f"{'':30}{'seconds':>9}{'a cell':>9}{'to camoe-train':>16}{'to fit':>9}")
    for name, seconds in times.items():
        ratio = f"{slow / seconds:15.2f}x" if slow is not None else f"{'':16}"
        ratio += f"{resident / seconds:8.2f}x"
        print(f"{name:30}{seconds:9.1f}{seconds / len(runs):9.2f}{ratio}", flush=True)
        if name in sweeps:
            aim = LEAST_FASTER if "--no-ensemble" in name else None
            what = f"{len(runs)} cells of {options.aggregator}, {name}, against one process"
            figures.tell(options.json, Figure(what, seconds, "s", resident, resident / seconds, least=aim))


class Roofline(TorchDispatchMode):
    """Counts operations that reach the device (views do not), and the least time each would take on a GPU: that of its
    launch, its arithmetic or its memory traffic, whichever is longest."""

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__()
        self.options = options
        self.count, self.flops, self.bytes, self.seconds = 0, 0, 0, 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        packet = func.overloadpacket
        if packet not in VIEWS:
            flops = flop_registry[packet](*args, **(kwargs or {}), out_val=out) if packet in flop_registry else 0
            moved = sum(part.numel() * part.element_size() for part in _tensors((args, out)))
            self.count, self.flops, self.bytes = self.count + 1, self.flops + flops, self.bytes + moved
            self.seconds += max(
                self.options.launch_us * 1e-6, flops / (self.options.tflops * 1e12), moved / (self.options.tbs * 1e12)
            )
        return out


def _tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    return [part for item in value for part in _tensors(item)] if isinstance(value, (list, tuple)) else []


def compare_steps(store: Path, options: argparse.Namespace) -> None:
    device = torch.device(options.device)
    resident = FeatureCache((str(store),), protocol=None, allow_missing=False, device=device)
    print(f"\none step, {options.aggregator} experts, batch {options.batch_size}, {device}, {options.seeds} seeds")
    heads = ("ms", "to one", "operations", "GFLOP", "GB moved", "projected ms", "to one")
    print(f"{'members':22}" + "".join(f"{head:>13}" for head in heads))
    first: tuple[float, float] | None = None
    for members in (0, *options.members):
        step, name = _step_of(resident, members, options)
        step()
        with Roofline(options) as roof:
            step()
        taken = min(timed(partial(_synchronised, step, device)) for _ in range(options.repeats))
        first = first or (taken, roof.seconds)
        times = (1e3 * taken, taken / first[0])
        counts = (f"{roof.count:13,}", f"{roof.flops / 1e9:13,.1f}", f"{roof.bytes / 1e9:13,.1f}")
        projected = (1e3 * roof.seconds, roof.seconds / first[1])
        shown = [f"{value:13,.2f}" for value in times], counts, [f"{value:13,.2f}" for value in projected]
        print(f"{name:22}" + "".join(itertools.chain(*shown)), flush=True)
    print(
        f"projected: each operation takes the longest of {options.launch_us:g} us, its arithmetic at "
        f"{options.tflops:g} TFLOP/s and its traffic at {options.tbs:g} TB/s"
    )


def _step_of(resident: FeatureCache, members: int, options: argparse.Namespace) -> tuple[Callable[[], object], str]:
    """A step of the trainer for no members, else of an ensemble."""
    rates = itertools.cycle((1e-3, 2e-3, 3e-3))
    recipes = [
        TrainConfig(
            features=("none",), aggregator=options.aggregator, batch_size=options.batch_size,
            seed=index % options.seeds, learning_rate=next(rates), loss=("ce", "dsl")[index % 2],
        ).recipe
        for index in range(max(members, 1))
    ]  # fmt: skip
    features = [resident.features(recipe.features) for recipe in recipes]
    models = [build_model(recipe, own.shape).to(resident.device) for recipe, own in zip(recipes, features, strict=True)]
    if not members:
        trainer = Trainer(models[0], features[0], recipes[0])
        captions = trainer.sampler.epoch()[0].to(resident.device)
        return lambda: trainer._step(captions), "the trainer"
    ensemble = Ensemble(models, features, recipes)
    drawn = ensemble.draws.epoch()[0]
    return lambda: ensemble.step(drawn), f"{members} as an ensemble"


def _synchronised(step: Callable[[], object], device: torch.device) -> None:
    step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("cells", "steps"), help="one of the two tables")
    parser.add_argument("--aggregator", default="mean", choices=("mean", "se", "attention"))
    parser.add_argument("--quick", action="store_true", help="of the first table only processes and `fit`")
    parser.add_argument("--cells", type=int, default=12, help="in fours")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=2, help="of all ways in turn")
    parser.add_argument("--videos", type=int, default=2000)
    parser.add_argument("--embed-dim", type=int, default=512)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--members", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--seeds", type=int, default=3, help="distinct seeds among the ensemble's members")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument(figures.OPTION, help=figures.HELP)
    parser.add_argument("--launch-us", type=float, default=5.0, help="of the projection")
    parser.add_argument("--tflops", type=float, default=50.0, help="of the projection; 3/4 of an H100 in fp32")
    parser.add_argument("--tbs", type=float, default=2.5, help="of the projection, TB/s; 3/4 of an H100")
    options = parser.parse_args()
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as name:
        store = Path(name) / "store.h5"
        make_store(store, options.videos, captions_each=4, width=options.embed_dim, held=options.videos // 20)
        if options.only != "steps":
            compare_cells(store, Path(name), options)
        if options.only != "cells":
            compare_steps(store, options)


if __name__ == "__main__":
    main()
