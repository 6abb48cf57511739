"""Everything that can be set about a sweep, besides its grid."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...pipeline.config import Config, SettingError, setting
from ...pipeline.engines import engine_names
from ...pipeline.tags import check_tags
from ...train.names import RESIDENCE


@dataclass(frozen=True, kw_only=True)
class SweepConfig(Config):
    """One sweep; raises `CamoeError` for values that do not fit."""

    features: tuple[str, ...] = setting(help="Feature store: a file, several, a glob or a folder of shards.")
    grid: str | None = setting(None, help="Name of a grid that comes with the package, or a YAML file.")
    search: str | None = setting(
        None,
        help="Instead of a grid: a search over ranges of settings, by its name or as a YAML file.",
    )
    out: Path | None = setting(
        None, help="Folder for results, tables and plots; none: sweeps/GRID, or sweeps/SEARCH-search."
    )
    protocol: str | None = setting(None, help="Which captions are train, val and test; none: the store's only one.")
    allow_missing: bool = setting(False, help="Leave out captions whose video has no features.")
    seeds: tuple[int, ...] = setting((), help="Seeds of every cell, as 0,1,2; none: the file's.")
    epochs: int | None = setting(None, help="Epochs of every training; none: the grid's, or camoe-train's default.")
    skip_unavailable: bool = setting(False, help="Leave out cells whose sentences the store lacks, and say which.")
    extend: bool = setting(False, help="Continue in a folder whose sweep had another grid, and keep what both share.")
    retry_failed: bool = setting(False, help="Train failed cells again.")
    other_code: str = setting(
        "refuse", help="What to do with runs that other code made.", choices=("refuse", "train", "keep")
    )
    max_matrix_gb: float = setting(
        2.0, help="Above this size, in each process, scores are ranked and re-ranked in blocks."
    )
    device: str = setting("auto", help="auto, cpu, cuda or cuda:N.")
    resident: str = setting(
        "auto",
        help="Where features are kept: on the device, in host memory (float16), or in the store; auto: where they fit.",
        choices=RESIDENCE,
    )
    workers: int | None = setting(None, help="Processes; none: one per core, or one on a GPU.")
    engine: str = setting(
        "local",
        help="Where runs are trained: here, on a Ray cluster, or by an engine of another package.",
        choices=engine_names,
    )
    ray_address: str = setting(
        "auto",
        help="With --engine ray: the cluster's address; auto: this machine's; local: a new one on this machine.",
    )
    ray_gpus: float = setting(1.0, help="With --engine ray: GPUs per worker; with 0.5, two workers share one.")

    tags: tuple[str, ...] = setting(
        (), flag="--tag", repeat=True, help="A word to find the sweep by, kept with its results; repeatable."
    )

    def check(self) -> None:
        if not self.features:
            raise SettingError.about("features", "is empty; name one")
        if bool(self.grid) == bool(self.search):
            raise SettingError("give either {grid} or {search}" + (", not both" if self.grid else ""))
        if self.search and self.retry_failed:
            raise SettingError("{retry_failed} has no effect with {search}; raise trials in its file for more of them")
        if self.search and self.other_code == "train":
            raise SettingError("{other_code} train has no effect with {search}; keep them, or give another {out}")
        check_tags(self.tags)
        if len(set(self.seeds)) < len(self.seeds) or not all(0 <= seed < 2**63 for seed in self.seeds):
            raise SettingError("{seeds} must be different whole numbers from 0, as 0,1,2")
        if not self.max_matrix_gb > 0:
            raise SettingError.about("max_matrix_gb", f"must be a positive number, not {self.max_matrix_gb}")
        if not 0 < self.ray_gpus < 1e9:
            raise SettingError.about("ray_gpus", f"must be above zero, not {self.ray_gpus}")
        for name in ("epochs", "workers"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise SettingError.about(name, f"must be at least 1, not {value}")

    def folder(self, name: str) -> Path:
        """Where the sweep of a grid of that name goes."""
        return self.out or Path("sweeps") / name
