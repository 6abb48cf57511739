"""What a finished run tells the terminal."""

from __future__ import annotations

from typing import Any

from ..pipeline.store import describe_shortfall
from ..pipeline.wording import counted
from .run_folder import Run


def summarise(run: Run) -> str:
    """A few lines about a run, from its record."""
    record = run.record
    best, counts = record["selection"], record["counts"]
    lines = [f"{run.path}  ({record['parameters']:,} parameters, protocol {record['protocol']})"]
    if record["start"] == "random":
        lines.append(
            f"  {run.title}: the published one starts from CLIP's text layers, which camoe-extract "
            "--clip-layers 4 puts beside a store"
        )
    lines.append(
        "  "
        + ", ".join(
            f"{name}: {counted(item['captions'], 'caption')} of {counted(item['videos'], 'video')}"
            for name, item in counts.items()
        )
    )
    if record["held_out_videos"]:
        held_out = counted(len(record["held_out_videos"]), "training video")
        lines.append(f"  val: {held_out} held out, as the protocol has no val captions")
    if record["missing_captions"]:
        lines.append(f"  left out: {counted(record['missing_captions'], 'caption')} without features of the video")
    if short := describe_shortfall(record["shortfall"]):
        lines.append(f"  INCOMPLETE: this copy of the data set has {', '.join(short)}")
    if "R@1" in best:
        lines.append(
            f"  best on val: epoch {best['epoch']} of {record['epochs']}, "
            f"R@1 {best['t2v_R@1']:.1f} text to video, {best['v2t_R@1']:.1f} video to text"
        )
    if best["epoch"] == 0 < record["epochs"]:
        lines.append(
            f"  kept: the untrained model, as no epoch did better on val ({counted(counts['val']['videos'], 'video')})"
        )
    for part in sorted((run.path / "wandb").glob("offline-run-*"))[-1:]:
        lines.append(f"  wandb: nothing was sent; to send it: wandb sync {part}")
    if record["examples_per_second"] is not None:
        lines.append(f"  {_cost(record)}")
    return "\n".join(lines)


def _cost(record: dict[str, Any]) -> str:
    """`12.3 s of training on cpu (1 thread), 4,321 examples/s, peak memory 512 MB`."""
    memory = record["peak_memory_mb"]
    where = record["device"]
    if where == "cpu":
        where += f" ({counted(record['threads'], 'thread')})"
    gpu = f", {memory['gpu']:,} MB on the GPU" if "gpu" in memory else ""
    return (
        f"{record['train_seconds']:.1f} s of training on {where}, {record['examples_per_second']:,.0f} examples/s, "
        f"peak memory {memory['host']:,} MB{gpu}"
    )
