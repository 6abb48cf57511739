"""What an evaluation found: the record behind `evaluation/<store>-<protocol>-<subset>.json`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

from ..pipeline.atomic import write_atomic
from ..pipeline.errors import CamoeError

FOLDER = "evaluation"
DIRECTIONS = ("t2v", "v2t")
Metrics = dict[str, float]


@dataclass(frozen=True)
class Evaluation:
    """One run on one subset of one store; `docs/evaluation.md` describes every field, which are the JSON's.

    `rerankings` maps a re-ranking, `none` first, to `{"t2v": metrics, "v2t": metrics, "transductive", "options",
    "hubness", "intervals"}`; `left_out` says why one that was asked is not there.
    """

    run: str
    training: dict[str, Any]
    store: dict[str, Any]
    protocol: str
    subset: str
    v2t: str
    captions: int
    videos: int
    missing_captions: int
    shortfall: dict[str, Any]
    rerankings: dict[str, dict[str, Any]]
    left_out: dict[str, str] = field(default_factory=dict)
    gap: dict[str, Any] | None = None
    comparison: dict[str, Any] | None = None
    stress: dict[str, Any] | None = None
    ties: str = "last"

    @property
    def path(self) -> Path:
        """Where its JSON lies."""
        return Path(self.run) / FOLDER / f"{self.stem}.json"

    @property
    def stem(self) -> str:
        """`<store>-<protocol>-<subset>`; a store that the run was not trained on is named with part of its hash."""
        foreign = self.store["content_hash"] != self.store["trained_on"]
        store = self.store["name"] + (f"-{self.store['content_hash'][:8]}" if foreign else "")
        return f"{store}-{self.protocol}-{self.subset}"

    def write(self) -> Path:
        """Publish the JSON in the run folder, whole or not at all."""
        return write_json(self.path, asdict(self))


def read_evaluation(path: str | PathLike[str]) -> Evaluation:
    """The record in a JSON that `camoe-evaluate` wrote; raises `CamoeError` for anything else."""
    try:
        return Evaluation(**json.loads(Path(path).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise CamoeError(f"{path} is not an evaluation that camoe-evaluate wrote ({error}); run it again") from None


def write_json(path: Path, content: dict[str, Any]) -> Path:
    """Publish `content`, making its folder."""
    path.parent.mkdir(exist_ok=True)
    write_atomic(path, json.dumps(content, indent=2) + "\n")
    return path


def store_name(paths: Sequence[str]) -> str:
    """A short name for a store: its first file or folder without suffix; for a glob, the folder around it."""
    first = Path(paths[0])
    while any(letter in first.name for letter in "*?["):
        first = first.parent
    return first.resolve().stem or "store"
