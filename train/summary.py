"""What a finished run tells the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def summarise(folder: Path, record: dict[str, Any]) -> str:
    """A few lines from `run.json`."""
    best, counts = record["selection"], record["counts"]
    lines = [f"{folder}  ({record['parameters']:,} parameters, protocol {record['protocol']})"]
    lines.append(
        "  "
        + ", ".join(f"{name}: {item['captions']} captions of {item['videos']} videos" for name, item in counts.items())
    )
    if record["held_out_videos"]:
        lines.append(
            f"  val: {len(record['held_out_videos'])} training videos held out, as the protocol has no val captions"
        )
    if record["missing_captions"]:
        lines.append(f"  left out: {record['missing_captions']} captions whose video has no features")
    if record["shortfall"]:
        lines.append(f"  the store lacks part of the protocol: {record['shortfall']}")
    if "R@1" in best:
        lines.append(
            f"  best on val: epoch {best['epoch']} of {record['epochs']}, "
            f"R@1 {best['t2v_R@1']:.1f} text to video, {best['v2t_R@1']:.1f} video to text"
        )
    speed = record["examples_per_second"]
    if speed is not None:
        lines.append(f"  {record['train_seconds']:.1f} s of training on {record['device']}, {speed:,.0f} examples/s")
    return "\n".join(lines)
