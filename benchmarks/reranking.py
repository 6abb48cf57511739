"""Ranks under re-rankings in blocks: seconds for each, and memory beyond the embeddings and the imports.

    python benchmarks/reranking.py                             # 100,000 x 100,000: raw, DSL and query bank, both ways
    python benchmarks/reranking.py --size 20000 --rerank none,dsl,nnn,sinkhorn
    python benchmarks/reranking.py --pairs 2000                # X-Pool, whose scores are no products

Made-up embeddings: 512 wide, one stream, float32, scores up to 100; products in float32, all else in float64. Banks are
20,000 others. The process is watched from outside: its greatest resident memory (VmHWM) less what it held, embeddings
and imports, when it was ready to begin.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import figures
import torch
from camoe.evaluate.score_source import PairScores
from camoe.pipeline.reranking.base import Reranker
from camoe.pipeline.reranking.kinds import BOTH_BANKS, RERANKINGS
from camoe.pipeline.reranking.ranks import Banks, reranked_ranks
from camoe.pipeline.reranking.table import make
from camoe.pipeline.scores import EmbeddingScores
from camoe.train.heads.xpool import XPool
from figures import Figure
from torch import nn
from torch.nn import functional as F

WIDTH, SCALE, FRAMES = 512, 100.0, 12
READY = "ready"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=100_000)
    parser.add_argument("--bank", type=int, default=20_000)
    parser.add_argument("--rerank", default="none,dsl,querybank")
    parser.add_argument("--pairs", type=int, help="so many texts and videos, compared pair by pair")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument(figures.OPTION, help=figures.HELP)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return measure(options)
    size = options.pairs or options.size
    beyond, whole = watch([sys.executable, __file__, *sys.argv[1:], "--child"]), 4 * size**2 / 1e6
    what = f"{size:,} x {size:,} under {options.rerank}, beside the matrix alone"
    figures.tell(options.json, Figure(what, beyond, "MB", whole, beyond / whole, most=None if options.pairs else 1.0))


def watch(command: list[str]) -> float:
    """Run a child, which says when it is ready and when it is done, and read its memory at both times: MB beyond."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        held = beyond = 0.0
        for line in child.stdout:
            if line.strip() != READY:
                print(line, end="", flush=True)
                continue
            if not held:
                held = resident(child.pid, "VmRSS")
                Path(f"/proc/{child.pid}/clear_refs").write_text("5")  # forget the peak of making the embeddings
            else:
                beyond = resident(child.pid, "VmHWM") - held
                print(f"{beyond:,.0f} MB beyond the {held:,.0f} MB of embeddings and imports")
            child.stdin.write("\n")
            child.stdin.flush()
    if child.returncode:
        sys.exit(child.returncode)
    return beyond


def resident(process: int, name: str) -> float:
    """Of a process, in MB."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) / 1e3


def wait() -> None:
    print(READY, flush=True)
    sys.stdin.readline()


def measure(options: argparse.Namespace) -> None:
    torch.set_num_threads(options.threads)
    names = options.rerank.split(",")
    sources = pairs(options.pairs, names) if options.pairs else products(options.size, options.bank, names)
    size = options.pairs or options.size
    wait()
    seconds: dict[str, float] = defaultdict(float)
    for direction, (scores, banks) in sources.items():
        rerankers = {name: timed(name, seconds) for name in names}
        started = time.perf_counter()
        reranked_ranks(scores, rerankers, None, direction, banks=banks)
        print(f"{direction}: {time.perf_counter() - started:.1f} s", flush=True)
        seconds["all"] += time.perf_counter() - started
    rest = seconds.pop("all") - sum(seconds.values())
    print(f"{size:,} x {size:,}, {options.threads} threads: {rest + sum(seconds.values()):.1f} s")
    for name, spent in {"scores and ranks": rest, **seconds}.items():
        print(f"  {name:20}{spent:9.1f} s")
    if options.pairs:
        print(
            f"100,000 x 100,000 would take {(100_000 / size) ** 2 * (rest + sum(seconds.values())) / 3600:,.0f} hours"
        )
    wait()


def timed(name: str, seconds: dict[str, float]) -> Reranker:
    """A re-ranking that adds up how long it works on scores that it is given."""

    def timing(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            started = time.perf_counter()
            found = function(*arguments)
            seconds[name] += time.perf_counter() - started
            return found

        return call

    reranker = make(name, {"beta": 0.2} if "beta" in RERANKINGS[name].required else {})
    for statistic in (*reranker.over_queries, *reranker.over_bank, *reranker.over_gallery_bank):
        statistic.see = timing(statistic.see)  # type: ignore[method-assign]
    if name != "none":
        reranker.change = timing(reranker.change)  # type: ignore[method-assign]
    return reranker


def products(size: int, bank: int, names: list[str]) -> dict[str, tuple[EmbeddingScores, Banks]]:
    """By direction: the scores, and the banks that the re-rankings ask for."""
    draw = torch.Generator().manual_seed(0)
    text, video, others, kin = (unit(rows, draw) for rows in (size, size, bank, bank))
    for vectors in (text, others):
        vectors *= SCALE
    both = any(RERANKINGS[name].needs == BOTH_BANKS for name in names)
    scores = EmbeddingScores(text, video)
    return {
        "t2v": (scores, Banks(EmbeddingScores(others, video), EmbeddingScores(kin * SCALE, video) if both else None)),
        "v2t": (scores, Banks(EmbeddingScores(kin, text), EmbeddingScores(others / SCALE, text) if both else None)),
    }


def unit(rows: int, draw: torch.Generator) -> torch.Tensor:
    return F.normalize(torch.randn(rows, WIDTH, generator=draw), dim=1)


def pairs(size: int, names: list[str]) -> dict[str, tuple[PairScores, Banks]]:
    """The same of X-Pool, over 12 frames a video; banks as large as the gallery."""
    draw = torch.Generator().manual_seed(0)
    texts = torch.stack([unit(2 * size, draw)])
    frames = unit(2 * size * FRAMES, draw).view(2 * size, FRAMES, WIDTH)
    features: Any = SimpleNamespace(
        device=frames.device,
        frames_of=lambda rows: frames[rows],
        mask=torch.ones(2 * size, FRAMES, dtype=torch.bool),
        texts_of=lambda rows: texts[:, rows],
    )
    model = XPool([nn.Identity()], embed_dim=WIDTH, weights=[1.0], logit_scale=SCALE).eval()
    mine, others = torch.arange(size), torch.arange(size, 2 * size)
    scores = PairScores(model, features, mine, mine)
    return {
        "t2v": (scores, Banks(PairScores(model, features, others, mine))),
        "v2t": (scores, Banks(PairScores(model, features, mine, others, turned=True))),
    }


if __name__ == "__main__":
    main()
