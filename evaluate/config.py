"""Everything that can be set about an evaluation."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from ..pipeline.config import Config, SettingError, setting
from .checks import CHECKS
from .names import NONE, RERANKINGS, SUBSET_NAMES, V2T_NAMES, Reranking

if TYPE_CHECKING:
    from .ranked import Method

ALL = "all"
RESAMPLES = 2000
ADDITIONS = ("compare", "stress", "trec", "ranks")
WITHOUT_EFFECT = {
    "golden": ("run", "protocol", "subset", "rerank", "v2t", "bootstrap", "transfer", *ADDITIONS),
    "transfer": ("features", "protocol", *ADDITIONS),
}
"""Settings that a check, or a transfer matrix, does not read; setting one of them is a mistake."""


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(Config):
    """One evaluation; raises `CamoeError` for values that do not fit or do not go together."""

    run: Path | None = setting(None, help="Run folder that camoe-train wrote; needed unless --check is given.")
    features: tuple[str, ...] = setting((), help="Feature store; none: the one that the run was trained on.")
    protocol: str | None = setting(None, help="Which captions are train, val and test; none: the run's.")
    subset: str = setting("test", help="Whose captions and videos are ranked.", choices=SUBSET_NAMES)
    allow_missing: bool = setting(False, help="Leave out captions whose video has no features, and say how many.")

    rerank: tuple[str, ...] = setting(
        ("none", "dsl", "querybank"), help="Re-rankings to show; none always is.", choices=(*RERANKINGS, ALL)
    )
    v2t: str = setting("c4c", help="Video-to-text with several captions a video.", choices=V2T_NAMES)
    rerank_temperature: float = setting(1.0, help="Of dsl, dsl-log and sinkhorn, in logit units.")
    sinkhorn_iterations: int = setting(10, help="Rounds of sinkhorn.")
    querybank_beta: float | None = setting(None, help="Of querybank, in logit units; none: 20 / the logit scale.")
    querybank_k: int = setting(1, help="Best items of each bank query that count as hubs.")
    bank_size: int = setting(20_000, help="Most training captions, or videos, in the query bank; drawn by seed.")

    bootstrap: int | None = setting(
        None, help="Resamples of the 95 % intervals; none: 2000 with --rerank all or --compare, else 0, no intervals."
    )
    compare: Path | None = setting(None, help="Another run, for a paired bootstrap on the same queries.")
    stress: bool = setting(False, help="Also re-rank small batches, repeated queries and two captions of a video.")
    trec: int | None = setting(None, help="Also write TREC run and qrels files with that many candidates a query.")
    ranks: bool = setting(False, help="Also write the rank of every query as a parquet table.")
    transfer: tuple[str, ...] = setting((), help="More runs: every run on every run's store, as one matrix.")
    golden: str | None = setting(
        None, flag="--check", help="Hold zero-shot numbers of --features against published ones.", choices=CHECKS
    )

    seed: int = setting(0, help="Of everything that is drawn.")
    device: str = setting("auto", help="Where to compute.", choices=("auto", "cpu", "cuda"))
    max_matrix_gb: float = setting(2.0, help="Above this size the scores are ranked in blocks, without re-ranking.")

    def check(self) -> None:
        rules = {
            "a positive number": (("rerank_temperature", "max_matrix_gb", "querybank_beta"), 0.0),
            "at least 1": (("sinkhorn_iterations", "querybank_k", "bank_size", "trec"), 0),
            "at least 0": (("seed", "bootstrap"), -1),
        }
        for rule, (names, bound) in rules.items():
            for name in names:
                value = getattr(self, name)
                if value is not None and not value > bound:
                    raise SettingError.about(name, f"must be {rule}, not {value}")
        if self.seed >= 2**63:
            raise SettingError.about("seed", f"must be below 2 to the 63rd, not {self.seed}")
        _check_task(self)

    @property
    def run_folder(self) -> Path:
        """`run`, which only a check goes without."""
        assert self.run is not None
        return self.run

    @property
    def resamples(self) -> int:
        """Of the bootstrap; 0 where no intervals are asked."""
        if self.bootstrap is not None:
            return self.bootstrap
        return RESAMPLES if ALL in self.rerank or self.compare else 0

    @property
    def rerankings(self) -> tuple[Reranking, ...]:
        """The asked re-rankings in the order of `RERANKINGS`, `none` first and always."""
        asked = {NONE, *self.rerank}
        options = {
            "temperature": self.rerank_temperature,
            "iterations": self.sinkhorn_iterations,
            "beta": self.querybank_beta,
            "k": self.querybank_k,
        }
        return tuple(Reranking(name, options) for name in RERANKINGS if ALL in asked or name in asked)

    @property
    def method(self) -> Method:
        """How the scores become numbers."""
        from .ranked import Method  # which loads torch, and a config is also made for --help

        return Method(
            rerankings=self.rerankings,
            v2t=self.v2t,
            bank_size=self.bank_size,
            resamples=self.resamples,
            max_matrix_bytes=self.max_matrix_bytes,
            seed=self.seed,
        )

    @property
    def max_matrix_bytes(self) -> int:
        return int(self.max_matrix_gb * 2**30)


def _check_task(config: EvaluateConfig) -> None:
    """What an evaluation, a check and a transfer matrix each need and do not read."""
    if config.golden and not config.features:
        raise SettingError("{golden} needs a store; name it with {features}")
    if not config.golden and config.run is None:
        raise SettingError("{run} is missing: name a run folder that camoe-train wrote")
    if config.compare and config.resamples == 0:
        raise SettingError("{compare} needs a bootstrap; leave {bootstrap} out, or give at least 1")
    settings = {item.name: item for item in fields(config)}
    for task, names in WITHOUT_EFFECT.items():
        for name in names:
            if getattr(config, task) and getattr(config, name) != settings[name].default:
                raise SettingError(f"{{{name}}} has no effect with {{{task}}}; leave it out")
