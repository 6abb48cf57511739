"""A worker on another machine: the same frames, weights and ffmpeg as where the run was begun, or a refusal."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..pipeline.checksum import file_sha256
from ..pipeline.cores import usable_cores
from ..pipeline.errors import CamoeError
from ..pipeline.wording import short_hash
from .clip_weights import BUILT_IN, Weights
from .encoder import Encoder
from .encoders import load_encoder
from .ffmpeg import inspect_binary
from .frames import FrameWork, FrameWorker

PATIENCE_S = 60.0
"""For the lock of a worker that was lost: a process on a machine out of reach may end a little later."""


@dataclass(frozen=True)
class FrameWorkElsewhere:
    """Frame work as a machine of a cluster does it: picklable.

    `work.workers` counts only where `workers` is given; else it is the cores there. `send` gives the bytes of the
    `weights` file, and is called only where the machine does not have the file.
    """

    work: FrameWork
    weights: Weights
    send: Callable[[], np.ndarray]
    workers: int | None

    def absolute(self) -> FrameWorkElsewhere:
        """With paths that mean the same in any working directory."""
        work, binary = self.work, self.work.binary
        if os.sep in binary.path:
            binary = replace(binary, path=os.path.abspath(binary.path))
        cache = work.clip_cache.absolute() if work.clip_cache is not None else None
        return replace(self, work=replace(work, root=work.root.absolute(), binary=binary, clip_cache=cache))

    def __call__(self) -> FrameWorker:
        """A worker; raises `CamoeError` where its videos would fail, or become others, for want of something."""
        self._check_folders()
        binary = inspect_binary(self.work.binary.path)
        if binary != self.work.binary:
            raise CamoeError(
                f"{binary.path} is version {binary.version} here, and {self.work.binary.version} where the run was "
                "begun; install the same, or name one that all machines see with --ffmpeg"
            )
        return replace(self.work, workers=self.workers or usable_cores()).worker(self._encoder())

    def _check_folders(self) -> None:
        """Each video of a folder that is not there would be recorded as a failure."""
        if not self.work.root.is_dir():
            raise CamoeError(f"--videos {self.work.root} is not there; give a folder that all machines see")
        if not self.work.place.plan.is_file():
            raise CamoeError(f"--out {self.work.place.out} is not the same there; give one that all machines see")

    def _encoder(self) -> Encoder:
        if self.weights.config and not self.weights.prefix:  # a folder or a repository, which is more than a file
            return self._load(self.work.clip)
        cache = self.work.clip_cache or Path.home() / ".cache" / "clip"
        for path in (BUILT_IN.get(self.weights.name), self.weights.path, cache / self.weights.path.name):
            if path is not None and path.is_file() and file_sha256(path) == self.weights.sha256:
                return self._load(f"{self.weights.prefix}{path}")
        with tempfile.TemporaryDirectory(prefix="camoe-") as folder:
            path = Path(folder) / self.weights.path.name
            self.send().tofile(path)
            if (found := file_sha256(path)) != self.weights.sha256:
                raise CamoeError(
                    f"{self.weights.path} has changed since the run began: what was sent has the SHA-256 "
                    f"{short_hash(found)}, not {short_hash(self.weights.sha256)}; run the same command again"
                )
            return self._load(f"{self.weights.prefix}{path}")

    def _load(self, clip: str) -> Encoder:
        return load_encoder(clip, self.work.device, self.work.settings.precision, self.work.clip_cache)
