"""Run folders: `config.yaml`, `metrics.jsonl` (a line per epoch), `model.safetensors`, `run.json` (what it came from).

A run folder is built beside its final name, as `NAME.partial`, and renamed when it is whole. A run that was killed
leaves that folder; where it holds a checkpoint, the run can go on from it.
"""

from __future__ import annotations

import fcntl
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
from ..pipeline.store import StoreError, find_shards
from .checkpoint import CHECKPOINT
from .config import TrainConfig
from .divergence import DivergedError
from .model import FeatureShape, Scorer, build_model

CONFIG, METRICS, MODEL, RECORD = "config.yaml", "metrics.jsonl", "model.safetensors", "run.json"
LOCK = ".lock"


@dataclass(frozen=True)
class Run:
    """A finished run. `record` is `run.json`; `model` is in evaluation mode on the CPU."""

    path: Path
    config: TrainConfig
    record: dict[str, Any]
    model: Scorer

    @property
    def features(self) -> tuple[str, ...]:
        """Where its store is: the recorded absolute paths; if they lead nowhere, the paths as they were given.

        Raises `CamoeError` where neither does.
        """
        for paths in (tuple(self.record["features"]), self.config.features):
            with suppress(StoreError):
                find_shards(paths)
                return paths
        raise CamoeError(
            f"the store {', '.join(self.record['features'])} that {self.path} was trained on is not there; "
            "name it with --features"
        )

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


def partial_folder(final: Path) -> Path:
    """Where the run that will be `final` is built."""
    return final.with_name(f"{final.name}.partial")


def refuse_existing(final: Path, *, overwrite: bool, resume: bool = False) -> None:
    """Raise `CamoeError` where `final` is occupied, or begun and neither to be resumed nor overwritten.

    With `overwrite` only what is no run folder is refused.
    """
    if resume and overwrite:
        raise CamoeError("--resume goes on with a run and --overwrite begins it anew; give one of them")
    partial = partial_folder(final)
    begun = (partial / CHECKPOINT).is_file()
    if begun and not (resume or overwrite):
        raise CamoeError(f"{partial} is an unfinished run; go on with --resume, or begin anew with --overwrite")
    if partial.exists() and not (partial / LOCK).exists() and any(partial.iterdir()):
        raise CamoeError(f"{partial} is not a run in the making and is left alone; give another --out")
    if not final.exists() or (final.is_dir() and not any(final.iterdir())):
        return
    if not overwrite and not (resume and begun):
        raise CamoeError(f"{final} is already there; give another --out, or --overwrite to replace it")
    if not (final / RECORD).is_file():
        raise CamoeError(f"{final} is not a run folder and is left alone; give another --out")


@contextmanager
def new_run_folder(final: Path, *, overwrite: bool, resume: bool = False) -> Iterator[Path]:
    """A folder to fill, published as `final` on success; with `resume` as an unfinished run left it.

    On failure it is kept where a checkpoint in it is of use, else removed. Raises `CamoeError` where another process
    is at it.
    """
    refuse_existing(final, overwrite=overwrite, resume=resume)
    partial = partial_folder(final)
    parents = [parent for parent in final.parents if not parent.exists()]
    partial.mkdir(parents=True, exist_ok=True)
    with _locked(partial):
        try:
            for path in partial.iterdir():
                if path.name != LOCK and (not resume or ".tmp." in path.name):
                    path.unlink()
            yield partial
            for file in partial.iterdir():
                fsync(file)
            _publish(partial, final)
        except BaseException as error:
            if isinstance(error, DivergedError) or not (partial / CHECKPOINT).exists():
                shutil.rmtree(partial, ignore_errors=True)
                with suppress(OSError):
                    for parent in parents:
                        parent.rmdir()
            raise
    for name in (CHECKPOINT, LOCK):
        (final / name).unlink(missing_ok=True)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with open(folder / LOCK, "w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CamoeError(f"another process is writing {folder}; wait for it, or give another --out") from None
        yield


def _publish(partial: Path, final: Path) -> None:
    replaced = final.with_name(f"{final.name}.old.{os.getpid()}")
    if final.exists():
        os.rename(final, replaced)
    os.rename(partial, final)
    fsync(final.parent)
    shutil.rmtree(replaced, ignore_errors=True)


def write_run(folder: Path, config: TrainConfig, record: dict[str, Any], state: dict[str, torch.Tensor]) -> None:
    """Everything but the metrics, which the loop writes as it goes."""
    (folder / CONFIG).write_text(dump_config(config), encoding="utf-8")
    (folder / RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    save_file({name: tensor.cpu().contiguous() for name, tensor in state.items()}, folder / MODEL)
