"""Run folders: `config.yaml`, `metrics.jsonl` (a line per epoch), `model.safetensors`, `run.json` (what it came from),
and `MODEL_CARD.md`, the same for people.

A run folder is built beside its final name, as `NAME.partial`, and renamed when it is whole. A run that was killed
leaves that folder; where it holds a checkpoint, the run can go on from it.
"""

from __future__ import annotations

import fcntl
import glob
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load

from ..pipeline.atomic import fsync, write_atomic
from ..pipeline.config import dump_config, load_config, read_yaml
from ..pipeline.errors import CamoeError, RunStoppedError
from ..pipeline.json_text import read_json
from ..pipeline.regular import open_lock
from ..pipeline.sealed import file_bytes
from ..pipeline.store import StoreError, find_shards
from ..pipeline.unfilled import unfilled
from .card import CardFacts, write_card
from .checkpoint import CHECKPOINT
from .config import TrainConfig
from .divergence import DivergedError
from .model import Scorer, build_model
from .record import FORMAT, RunRecord
from .scorer import FeatureShape

CONFIG, METRICS, MODEL, RECORD = "config.yaml", "metrics.jsonl", "model.safetensors", "run.json"
LOCK = ".lock"
FORMER_NAMES = {"seqtransf": "temporal", "xpool": "frame-attention"}
"""What format 1 called models that are not the published ones."""


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
            with suppress(StoreError, OSError, ValueError):
                find_shards(paths)
                return paths
        raise CamoeError(
            f"the store {', '.join(self.record['features'])} that {self.path} was trained on is not there; "
            "name it with --features"
        )

    @property
    def title(self) -> str:
        """What a table calls the model: `seqtransf (no CLIP init)` where it began without CLIP's text layers."""
        return title(self.config.model, self.record["start"], emcl=self.config.emcl)

    @property
    def shape(self) -> FeatureShape:
        """The sizes of the features that it was trained on."""
        return FeatureShape.from_json(self.record["shape"])

    @property
    def protocol(self) -> str:
        return str(self.record["protocol"])

    @property
    def held_out_videos(self) -> list[str]:
        """Training videos that served as `val` because the protocol has none."""
        return list(self.record["held_out_videos"])


def load_run(path: str | PathLike[str]) -> Run:
    """Read a run folder, of this version or an earlier one; raises `CamoeError` when it is none, or is damaged."""
    folder = Path(path)
    missing = [name for name in (CONFIG, MODEL, RECORD) if not (folder / name).is_file()]
    if missing:
        raise CamoeError(
            f"{folder} is not a run folder ({', '.join(missing)} missing); give one that camoe-train wrote"
        )
    try:
        record = _read_record(folder / RECORD)
        config = _read_config(folder / CONFIG, record.format)
        model = _read_model(folder / MODEL, config, record)
    except (OSError, ValueError, TypeError, RuntimeError, ArithmeticError) as error:
        raise CamoeError(f"{folder} is damaged ({_plain(error)}); train it again") from None
    return Run(folder, config, record.to_json(), model.eval())


def _read_record(path: Path) -> RunRecord:
    try:
        return RunRecord.read(read_json(path))
    except (OSError, ValueError) as error:
        raise CamoeError(
            f"{path} is damaged ({_plain(error)}); put it back from a copy, or train the run again"
        ) from None


def _read_config(path: Path, written_as: int) -> TrainConfig:
    try:
        return _load_config(path, written_as)
    except CamoeError as error:
        message = str(error)
        raise CamoeError(
            message if str(path) in message else f"{path} is damaged ({message}); train it again"
        ) from None


def _load_config(path: Path, written_as: int) -> TrainConfig:
    if written_as == FORMAT:
        return load_config(TrainConfig, path)
    model = read_yaml(path, [item.name for item in fields(TrainConfig)]).get("model")
    if model not in FORMER_NAMES:
        return load_config(TrainConfig, path)
    return load_config(TrainConfig, path, {"model": FORMER_NAMES[model]})


def _read_model(path: Path, config: TrainConfig, record: RunRecord) -> Scorer:
    """Built without memory of its own, so that a record which lies about sizes costs none."""
    content = path.read_bytes()
    if record.model_sha256 not in (None, hashlib.sha256(content).hexdigest()):
        raise ValueError(f"{path.name} does not match its checksum")
    try:
        state = load(content)
    except SafetensorError as error:
        raise ValueError(f"{path.name} is no file of tensors: {error}") from None
    with unfilled():
        model = build_model(config.recipe, record.shape)
    try:
        model.load_state_dict(state, assign=True)
    except RuntimeError:
        raise ValueError(f"{path.name} is not of the model that {CONFIG} and {RECORD} describe") from None
    if wrong := [name for name, tensor in state.items() if tensor.dtype != torch.float32]:
        raise ValueError(f"{path.name}: {wrong[0]} is {state[wrong[0]].dtype}, not float32")
    return model


def _plain(error: BaseException) -> str:
    words = " ".join(str(error).split())
    return (words if len(words) < 300 else f"{words[:300]}…").encode("ascii", "backslashreplace").decode()


def title(model: str, start: str | None, *, emcl: bool = False) -> str:
    """A model's name, what is added to it, and where its start is not the published one, that."""
    name = f"{model} + emcl" if emcl else model
    return f"{name} (no CLIP init)" if start == "random" else name


def partial_folder(final: Path) -> Path:
    """Where the run that will be `final` is built."""
    return final.with_name(f"{final.name}.partial")


def refuse_existing(final: Path, *, overwrite: bool, resume: bool = False) -> None:
    """Raise `CamoeError` where `final` is occupied, or begun and neither to be resumed nor overwritten.

    With `overwrite` a run is replaced; anything else is refused.
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
            _restore_replaced(final)
            refuse_existing(final, overwrite=overwrite, resume=resume)
            for path in partial.iterdir():
                if path.name != LOCK and (not resume or ".tmp." in path.name):
                    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
            yield partial
            for file in partial.iterdir():
                fsync(file)
            _publish(partial, final)
        except BaseException as error:
            resumable = (partial / CHECKPOINT).exists() and not isinstance(error, DivergedError)
            if not resumable:
                shutil.rmtree(partial, ignore_errors=True)
                with suppress(OSError):
                    for parent in parents:
                        parent.rmdir()
            if isinstance(error, OSError):
                raise _stopped(error, final, resumable=resumable) from None
            raise
    tidy(final)


def _stopped(error: OSError, final: Path, *, resumable: bool) -> RunStoppedError:
    """What the disk refused, and what is left."""
    reason = error.strerror or _plain(error)
    where = error.filename or final
    rest = "go on with --resume" if resumable else "start it again, as nothing is left of it"
    return RunStoppedError(f"{final} could not be written ({reason}: {where}); make room and {rest}")


def tidy(final: Path) -> None:
    """Take away what a finished run no longer needs."""
    for name in (CHECKPOINT, LOCK):
        (final / name).unlink(missing_ok=True)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with os.fdopen(open_lock(folder / LOCK), "w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CamoeError(f"another process is writing {folder}; wait for it, or give another --out") from None
        yield


def _restore_replaced(final: Path) -> None:
    """A kill between the two renames of `_publish` leaves the replaced run aside; a later kill leaves it to delete."""
    for replaced in map(Path, glob.glob(f"{glob.escape(str(final.parent / f'.{final.name}.replaced'))}.*")):
        if final.exists():
            shutil.rmtree(replaced, ignore_errors=True)
        else:
            os.rename(replaced, final)


def _publish(partial: Path, final: Path) -> None:
    replaced = final.with_name(f".{final.name}.replaced.{os.getpid()}")
    if final.exists():
        os.rename(final, replaced)
    os.rename(partial, final)
    fsync(final.parent)
    shutil.rmtree(replaced, ignore_errors=True)


def write_run(folder: Path, config: TrainConfig, record: dict[str, Any], state: dict[str, torch.Tensor]) -> None:
    """Everything but the metrics, which are written as training goes."""
    content = file_bytes(state)
    whole = {"format": FORMAT} | record | {"model_sha256": hashlib.sha256(content).hexdigest()}
    write_atomic(folder / CONFIG, dump_config(config))
    write_atomic(folder / MODEL, content)
    text = json.dumps(whole, indent=2) + "\n"
    write_atomic(folder / RECORD, text)
    read = RunRecord.read(json.loads(text)).to_json()
    name = title(config.model, read["start"], emcl=config.emcl)
    write_card(folder, CardFacts(config.folder.name, name, config, read))
