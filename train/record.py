"""`run.json` as a record that checks itself: what a run came from, what it came to, what it cost."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from ..pipeline.record import Record
from .scorer import FeatureShape

FORMAT = 2
"""1: version 0.1.0, which wrote no number; its `seqtransf` and `xpool` are `temporal` and `frame-attention` now."""


@dataclass(frozen=True)
class StoreRecord(Record):
    """The features behind a run; what older versions did not record is none."""

    content_hash: str
    clip_model: str
    clip_sha256: str
    precision: str | None = None
    streams: dict[str, Any] | None = None
    tagger: str | None = None
    fps: float | None = None
    sampling: str | None = None
    max_frames: int | None = None


@dataclass(frozen=True)
class Count(Record):
    """Of a subset."""

    captions: int
    videos: int


@dataclass(frozen=True)
class RunRecord(Record):
    """Everything in `run.json`; `model_sha256` is that of `model.safetensors`, `start` where its parameters began,
    `resident` where its features were."""

    store: StoreRecord
    protocol: str
    shortfall: dict[str, Any]
    features: tuple[str, ...]
    held_out_videos: tuple[str, ...]
    shape: FeatureShape
    counts: dict[str, Count]
    missing_captions: int
    device: str
    selection: dict[str, int | float]
    epochs: int
    parameters: int
    train_seconds: float
    examples_per_second: float | None
    peak_memory_mb: dict[str, int | float]
    threads: int
    load_seconds: float = 0.0
    versions: dict[str, str] = field(default_factory=dict)
    start: str | None = None
    resident: str | None = None
    model_sha256: str | None = None
    format: int = 1

    def __post_init__(self) -> None:
        shape = self.shape
        if not (
            0 < shape.embed_dim <= 1 << 16
            and 0 < shape.max_frames <= 1 << 20
            and 0 < shape.clip_logit_scale < 1e6
            and 0 <= shape.max_words <= 1 << 20
        ):
            raise ValueError(f"shape {asdict(shape)} cannot be the shape of features")
        if missing := {"train", "val"} - set(self.counts):
            raise ValueError(f"counts lacks {min(missing)}")
        if "epoch" not in self.selection:
            raise ValueError("selection lacks epoch")

    @classmethod
    def read(cls, value: Any) -> RunRecord:
        """The record in the JSON's values; raises `ValueError` for what is none, or of a later version."""
        written_as = value.get("format", 1) if isinstance(value, dict) else 1
        if written_as not in (1, FORMAT):
            raise ValueError(f"its format is {str(written_as)[:40]}, which a later version of camoe wrote")
        return cls.from_json(value, "run")
