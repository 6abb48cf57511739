"""Run folder -> retrieval numbers. What is listed here is public; each name is loaded when it is first used.

from camoe.evaluate import EvaluateConfig, evaluate, retrieval_metrics, dual_softmax
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if __name__ == "evaluate":  # from the root of a clone, where Python looks first
    raise ImportError(
        "`import evaluate` found CAMoE's folder of that name in the working folder; for CAMoE import camoe.evaluate, "
        "for the library called evaluate start Python in another folder, or with -P"
    )

from ..pipeline.lazy import lazy_exports

if TYPE_CHECKING:
    from ..pipeline.ranking import ranks_chunked, text_to_video_ranks, video_to_text_ranks
    from .config import EvaluateConfig
    from .metrics import retrieval_metrics, summarise_ranks
    from .rerank import QueryBank, dual_softmax, dual_softmax_log, query_bank, sinkhorn
    from .result import Evaluation, Metrics, read_evaluation
    from .run import evaluate, rank_frame
    from .significance import bootstrap_intervals, k_occurrence_skewness, paired_bootstrap
    from .tidy import metrics_frame

_MODULES = {
    "config": ("EvaluateConfig",),
    "metrics": ("ranks_chunked", "retrieval_metrics", "summarise_ranks", "text_to_video_ranks", "video_to_text_ranks"),
    "rerank": ("QueryBank", "dual_softmax", "dual_softmax_log", "query_bank", "sinkhorn"),
    "result": ("Evaluation", "Metrics", "read_evaluation"),
    "run": ("evaluate", "rank_frame"),
    "significance": ("bootstrap_intervals", "k_occurrence_skewness", "paired_bootstrap"),
    "tidy": ("metrics_frame",),
}

__all__ = [
    "EvaluateConfig",
    "Evaluation",
    "Metrics",
    "QueryBank",
    "bootstrap_intervals",
    "dual_softmax",
    "dual_softmax_log",
    "evaluate",
    "k_occurrence_skewness",
    "metrics_frame",
    "paired_bootstrap",
    "query_bank",
    "rank_frame",
    "ranks_chunked",
    "read_evaluation",
    "retrieval_metrics",
    "sinkhorn",
    "summarise_ranks",
    "text_to_video_ranks",
    "video_to_text_ranks",
]
__getattr__, __dir__ = lazy_exports(__name__, {name: module for module, names in _MODULES.items() for name in names})
