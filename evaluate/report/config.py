"""Everything that can be set about a report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...pipeline.config import Config, SettingError, setting
from ..config import ALL, RESAMPLES, EvaluateConfig
from ..names import RERANKINGS, SUBSET_NAMES, V2T_NAMES

MOST_EXAMPLES = 100


@dataclass(frozen=True, kw_only=True)
class ReportConfig(Config):
    """One report; raises `CamoeError` for values that do not fit."""

    out: Path | None = setting(
        None, help="Folder of the page; none: report inside the run, or ./report for several runs."
    )
    videos: Path | None = setting(
        None, help="Folder of videos that camoe-extract read; none: looked for near the store."
    )
    features: tuple[str, ...] = setting((), help="Feature store; none: the one that each run was trained on.")
    protocol: str | None = setting(None, help="Which captions are train, val and test; none: the run's.")
    subset: str = setting("test", help="Whose captions and videos are ranked.", choices=SUBSET_NAMES)
    allow_missing: bool = setting(False, help="Leave out captions whose video has no features, and say how many.")

    rerank: tuple[str, ...] = setting(
        ("none", "dsl", "querybank"), help="Re-rankings to show; none is always shown.", choices=(*RERANKINGS, ALL)
    )
    v2t: str = setting("c4c", help="How video-to-text treats several captions per video.", choices=V2T_NAMES)
    bootstrap: int = setting(RESAMPLES, help="Resamples of the 95 % intervals.")
    examples: int = setting(6, help="How many of the worst, the luckiest and the random queries are shown.")
    pictures: bool = setting(True, help="Show frames of the videos; without, there is a grey tile for each.")

    seed: int = setting(0, help="Seed of everything that is drawn.")
    device: str = setting("auto", help="auto, cpu, cuda or cuda:N.")
    max_matrix_gb: float = setting(2.0, help="Above this size, scores are ranked in blocks.")

    def check(self) -> None:
        if not 0 <= self.examples <= MOST_EXAMPLES:
            raise SettingError.about("examples", f"must be from 0 to {MOST_EXAMPLES}, not {self.examples}")
        if self.bootstrap < 1:
            raise SettingError.about("bootstrap", f"must be at least 1, not {self.bootstrap}")
        self.evaluation(Path("run"))

    def evaluation(self, run: Path) -> EvaluateConfig:
        """The evaluation of one run that stands in the report: as `camoe-evaluate` has it."""
        return EvaluateConfig(
            run=run,
            features=self.features,
            protocol=self.protocol,
            subset=self.subset,
            allow_missing=self.allow_missing,
            rerank=self.rerank,
            v2t=self.v2t,
            bootstrap=self.bootstrap,
            seed=self.seed,
            max_matrix_gb=self.max_matrix_gb,
        )
