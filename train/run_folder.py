"""Run folders: `config.yaml`, `metrics.jsonl` (a line per epoch), `model.safetensors`, `run.json` (what it came from).

A run folder is built beside its final name and renamed when it is whole.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ..pipeline.atomic import fsync
from ..pipeline.config import dump_config, load_config
from ..pipeline.errors import CamoeError
from .config import TrainConfig
from .model import FeatureShape, Scorer, build_model

CONFIG, METRICS, MODEL, RECORD = "config.yaml", "metrics.jsonl", "model.safetensors", "run.json"


@dataclass(frozen=True)
class Run:
    """A finished run. `record` is `run.json`; `model` is in evaluation mode on the CPU."""

    path: Path
    config: TrainConfig
    record: dict[str, Any]
    model: Scorer

    @property
    def protocol(self) -> str:
        return str(self.record["protocol"])

    @property
    def held_out_videos(self) -> list[str]:
        """Training videos that served as `val` because the protocol has none."""
        return list(self.record["held_out_videos"])


def load_run(path: str | PathLike[str]) -> Run:
    """Read a run folder; raises `CamoeError` when it is none, or is damaged."""
    folder = Path(path)
    missing = [name for name in (CONFIG, MODEL, RECORD) if not (folder / name).is_file()]
    if missing:
        raise CamoeError(
            f"{folder} is not a run folder ({', '.join(missing)} missing); give one that camoe-train wrote"
        )
    config = load_config(TrainConfig, folder / CONFIG)
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        model = build_model(config, FeatureShape(**record["shape"]))
        model.load_state_dict(load_file(folder / MODEL))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise CamoeError(f"{folder} is damaged ({' '.join(str(error).split())}); train it again") from None
    return Run(folder, config, record, model.eval())


def refuse_existing(folder: Path, *, overwrite: bool) -> None:
    """Raise `CamoeError` where `folder` is occupied; with `overwrite`, where it is anything but a run folder."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not overwrite:
        raise CamoeError(f"{folder} is already there; give another --out, or --overwrite to replace it")
    if not (folder / RECORD).is_file():
        raise CamoeError(f"{folder} is not a run folder and is left alone; give another --out")


@contextmanager
def new_run_folder(final: Path, *, overwrite: bool) -> Iterator[Path]:
    """A folder to fill; published as `final` on success, removed otherwise."""
    refuse_existing(final, overwrite=overwrite)
    parents = [parent for parent in final.parents if not parent.exists()]
    temporary = final.with_name(f"{final.name}.tmp.{os.getpid()}")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        yield temporary
        for file in temporary.iterdir():
            fsync(file)
        _publish(temporary, final)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        with suppress(OSError):
            for parent in parents:
                parent.rmdir()
        raise


def _publish(temporary: Path, final: Path) -> None:
    replaced = final.with_name(f"{final.name}.old.{os.getpid()}")
    if final.exists():
        os.rename(final, replaced)
    os.rename(temporary, final)
    fsync(final.parent)
    shutil.rmtree(replaced, ignore_errors=True)


def write_run(folder: Path, config: TrainConfig, record: dict[str, Any], state: dict[str, torch.Tensor]) -> None:
    """Everything but the metrics, which the loop writes as it goes."""
    (folder / CONFIG).write_text(dump_config(config), encoding="utf-8")
    (folder / RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    save_file({name: tensor.cpu().contiguous() for name, tensor in state.items()}, folder / MODEL)
