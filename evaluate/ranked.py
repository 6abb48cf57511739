"""The ranks of every query of a subset under every asked re-ranking."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .config import EvaluateConfig
from .metrics import several_captions
from .pool import Pool, Ranks, make_pool, matrix_bytes, ranks_in_blocks
from .result import DIRECTIONS
from .significance import k_occurrence_skewness
from .subject import Subject


@dataclass(frozen=True)
class Ranked:
    """`ranks` and `hubness` (k-occurrence skewness per direction) by re-ranking, `none` first.

    `video_of_caption (M,)` is each caption's column. `pool` is None where the scores were ranked in blocks.
    """

    ranks: dict[str, Ranks]
    hubness: dict[str, dict[str, float]]
    video_of_caption: np.ndarray
    left_out: dict[str, str]
    pool: Pool | None

    @property
    def lower_median(self) -> bool:
        """Whether text-to-video takes the lower median, as CLIP4Clip does with several captions a video."""
        return several_captions(self.video_of_caption)


def rank(subject: Subject, config: EvaluateConfig) -> Ranked:
    """Rank the subset; in blocks, raw only, where its matrix would be larger than `max_matrix_gb`.

    Raises `CamoeError` for a subset without captions, or scores that are not finite.
    """
    size = matrix_bytes(subject.scorer, config.subset)
    if size > config.max_matrix_bytes:
        return _rank_in_blocks(subject, config, size)
    pool = make_pool(subject.scorer, config)
    ranks, hubness = {}, {}
    for name in pool.options:
        matrices = {direction: pool.reranked(name, direction) for direction in DIRECTIONS}
        ranks[name] = pool.ranks(matrices)
        hubness[name] = {
            "t2v": k_occurrence_skewness(matrices["t2v"]),
            "v2t": k_occurrence_skewness(matrices["v2t"].T),
        }
    return Ranked(ranks, hubness, pool.video_of_caption, pool.left_out, pool)


def _rank_in_blocks(subject: Subject, config: EvaluateConfig, size: int) -> Ranked:
    ranks, owner = ranks_in_blocks(subject.scorer, config)
    reason = f"the matrix of scores would take {size / 2**30:.2g} GB; raise --max-matrix-gb to hold it"
    return Ranked({"none": ranks}, {}, owner, {name: reason for name in config.rerankings if name != "none"}, None)
