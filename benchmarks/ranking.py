"""Ranking in blocks against holding the whole matrix, both directions: seconds and memory, a process each.

    python benchmarks/ranking.py                       # 20,000 x 20,000 both ways, then 100,000 x 100,000 in blocks
    python benchmarks/ranking.py --sizes 1000 5000 --blocks-only 20000
    python benchmarks/ranking.py --device cuda

Random unit vectors 512 wide, float32. The whole way: one product, then the plain ranks of the matrix. Memory is what
the process (or the GPU) grew by at its peak.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time

import figures
import torch
from camoe.pipeline.ranking import ranks_chunked, text_to_video_ranks, video_to_text_ranks
from figures import Figure
from torch.nn import functional as F

WIDTH = 512
MOST_OF_WHOLE = 1.0
"""Our aim: blocks take no longer than the whole matrix, and less memory."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="*", default=[20_000])
    parser.add_argument("--blocks-only", type=int, nargs="*", default=[100_000])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument(figures.OPTION, help=figures.HELP)
    parser.add_argument("--one", nargs=2, metavar=("WAY", "SIZE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        return measure(options.one[0], int(options.one[1]), options.device, options.threads)
    print(f"{'size':>10}  {'way':8}{'seconds':>9}{'MB':>9}")
    for size in options.sizes:
        best = {way: row(way, size, options.runs, options) for way in ("whole", "blocks")}
        print(f"{size:>10,}  blocks / whole: {best['blocks'][0] / best['whole'][0]:.2f} of the time", flush=True)
        for unit, ours, plain in zip(("s", "MB"), best["blocks"], best["whole"], strict=True):
            what = f"ranking {size:,} x {size:,} in blocks"
            figures.tell(options.json, Figure(what, ours, unit, plain, ours / max(plain, 1e-9), most=MOST_OF_WHOLE))
    for size in options.blocks_only:
        _, megabytes = row("blocks", size, 1, options)
        whole = 4 * size**2 / 1e6
        what = f"ranking {size:,} x {size:,} in blocks, beside the matrix alone"
        figures.tell(options.json, Figure(what, megabytes, "MB", whole, megabytes / whole, most=MOST_OF_WHOLE))


def row(way: str, size: int, runs: int, options: argparse.Namespace) -> tuple[float, float]:
    """Seconds and MB of the fastest of `runs` child processes, printed and returned."""
    command = [sys.executable, __file__, "--device", options.device, "--threads", str(options.threads)]
    found = []
    for _ in range(runs):
        child = subprocess.run([*command, "--one", way, str(size)], capture_output=True, text=True, check=True)
        found.append(tuple(map(float, child.stdout.split())))
    seconds, megabytes = min(found)
    print(f"{size:>10,}  {way:8}{seconds:>9.1f}{megabytes:>9,.0f}", flush=True)
    return seconds, megabytes


def measure(way: str, size: int, device: str, threads: int) -> None:
    """Prints seconds and megabytes."""
    torch.set_num_threads(threads)
    draw = torch.Generator().manual_seed(0)
    text, video = (F.normalize(torch.randn(size, WIDTH, generator=draw), dim=1).to(device) for _ in range(2))
    cuda = text.device.type == "cuda"
    before = torch.cuda.memory_allocated() / 1e6 if cuda else peak()
    started = time.perf_counter()
    if way == "blocks":
        ranks_chunked(text, video)
    else:
        sim = text @ video.T
        text_to_video_ranks(sim), video_to_text_ranks(sim)
    if cuda:
        torch.cuda.synchronize()
    seconds = time.perf_counter() - started
    print(seconds, (torch.cuda.max_memory_allocated() / 1e6 if cuda else peak()) - before)


def peak() -> float:
    """The process's, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


if __name__ == "__main__":
    main()
