"""Everything that can be set about an evaluation."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..pipeline.config import Config, SettingError, setting
from ..train.names import RESIDENCE
from .checks import CHECKS
from .names import NONE, RERANKINGS, SUBSET_NAMES, V2T_NAMES, Reranking

if TYPE_CHECKING:
    from .ranked import Method

ALL = "all"
RESAMPLES = 2000
ADDITIONS = ("compare", "stress", "trec", "ranks", "cost")
POSITIVE = ("rerank_temperature", "max_matrix_gb", "querybank_beta", "dualis_beta1", "dualis_beta2")
COUNTS = ("sinkhorn_iterations", "bank_sinkhorn_iterations", "querybank_k", "nnn_k", "csls_k", "bank_size", "trec")
TEMPERATURE = {"temperature": "rerank_temperature"}
BETAS = {"beta1": "dualis_beta1", "beta2": "dualis_beta2"}
RERANKING_SETTINGS = {
    "dsl": TEMPERATURE,
    "dsl-log": TEMPERATURE,
    "querybank": {"beta": "querybank_beta", "k": "querybank_k"},
    "sinkhorn": TEMPERATURE | {"iterations": "sinkhorn_iterations"},
    "nnn": {"alpha": "nnn_alpha", "k": "nnn_k"},
    "csls": {"k": "csls_k"},
    "inverted-softmax": {"beta": "querybank_beta"},
    "dualis": BETAS,
    "dualdis": BETAS | {"k": "querybank_k"},
    "bank-sinkhorn": TEMPERATURE | {"iterations": "bank_sinkhorn_iterations"},
    "dn": {"dn_lambda": "dn_lambda"},
}
"""The setting that each option of a re-ranking is set by."""
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
        ("none", "dsl", "querybank"), help="Re-rankings to show; none is always shown.", choices=(*RERANKINGS, ALL)
    )
    v2t: str = setting("c4c", help="How video-to-text treats several captions per video.", choices=V2T_NAMES)
    rerank_temperature: float = setting(
        1.0, help="Temperature of dsl, dsl-log, sinkhorn and bank-sinkhorn, in logit units."
    )
    sinkhorn_iterations: int = setting(10, help="Rounds of sinkhorn.")
    bank_sinkhorn_iterations: int = setting(4, help="Rounds of bank-sinkhorn.")
    querybank_beta: float | None = setting(
        None, help="Beta of querybank and inverted-softmax, in logit units; none: 20 / the logit scale."
    )
    querybank_k: int = setting(
        1, help="How many best items of each bank query count as hubs, in querybank and dualdis."
    )
    nnn_alpha: float = setting(0.75, help="nnn subtracts this share of the mean of a video's best bank scores.")
    nnn_k: int = setting(128, help="How many bank scores nnn takes the mean of.")
    csls_k: int = setting(10, help="How many nearest neighbours csls takes the mean of.")
    dualis_beta1: float = setting(1 / 1.99, help="Beta of dualis and dualdis over training queries, in logit units.")
    dualis_beta2: float = setting(3.0, help="Beta of dualis and dualdis over training items, in logit units.")
    dn_lambda: float = setting(0.5, help="dn subtracts this share of the mean query.")
    bank_size: int = setting(20_000, help="Most training captions, or videos, in a bank; they are drawn by seed.")

    bootstrap: int | None = setting(
        None, help="Resamples of the 95 % intervals; none: 2000 with --rerank all or --compare, else 0, no intervals."
    )
    compare: Path | None = setting(None, help="Another run, for a paired bootstrap on the same queries.")
    stress: bool = setting(False, help="Also re-rank small batches, repeated queries and two captions of a video.")
    trec: int | None = setting(None, help="Also write TREC run and qrels files with this many candidates per query.")
    ranks: bool = setting(False, help="Also write the rank of every query as a parquet table.")
    cost: bool = setting(False, help="Also measure how long a search by the model takes; needs about a second.")
    transfer: tuple[str, ...] = setting((), help="More runs: evaluate every run on every run's store, as one matrix.")
    golden: str | None = setting(
        None, flag="--check", help="Compare zero-shot numbers of --features with published ones.", choices=CHECKS
    )

    seed: int = setting(0, help="Seed of everything that is drawn.")
    device: str = setting("auto", help="Where to compute.", choices=("auto", "cpu", "cuda"))
    resident: str = setting(
        "auto",
        help="Where features are kept: on the device, in host memory (float16), or in the store; auto: where they fit.",
        choices=RESIDENCE,
    )
    max_matrix_gb: float = setting(2.0, help="Above this size, scores are ranked in blocks and never held as a whole.")

    def check(self) -> None:
        rules = {
            "a positive number": (POSITIVE, 0.0),
            "at least 1": (COUNTS, 0),
            "at least 0": (("seed", "bootstrap"), -1),
        }
        for rule, (names, bound) in rules.items():
            for name in names:
                value = getattr(self, name)
                if value is not None and not value > bound:
                    raise SettingError.about(name, f"must be {rule}, not {value}")
        for name in ("nnn_alpha", "dn_lambda"):
            if not math.isfinite(getattr(self, name)):
                raise SettingError.about(name, f"must be a finite number, not {getattr(self, name)}")
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
        names = [name for name in RERANKINGS if ALL in asked or name in asked]
        return tuple(Reranking(name, self._options(name)) for name in names)

    def _options(self, reranking: str) -> dict[str, Any]:
        """The options of a re-ranking, by their own names."""
        return {option: getattr(self, name) for option, name in RERANKING_SETTINGS.get(reranking, {}).items()}

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
