"""Ranks in blocks are those of the re-ranked matrix, whatever the block, the ties and the captions a video."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from camoe.evaluate.significance import k_occurrence_skewness
from camoe.pipeline.ranking import text_to_video_ranks, video_to_text_ranks
from camoe.pipeline.reranking.base import fit
from camoe.pipeline.reranking.kinds import RERANKINGS
from camoe.pipeline.reranking.ranks import Banks, reranked_ranks
from camoe.pipeline.reranking.table import make, rerank, turned
from camoe.pipeline.scores import EmbeddingScores, MatrixScores, Scores
from hypothesis import given, settings
from hypothesis import strategies as st

WIDTH = 4


class Case:
    """Embeddings of small whole numbers: products are exact, and ties are many."""

    def __init__(self, texts: int, videos: int, banked: int, seed: int, *, whole: bool) -> None:
        draw = np.random.default_rng(seed)
        self.text, self.video, self.bank_text, self.bank_video = (
            draw.integers(-2, 3, (rows, WIDTH)).astype(float) if whole else draw.normal(size=(rows, WIDTH))
            for rows in (texts, videos, banked, banked)
        )
        self.owner = draw.integers(0, videos, texts)

    def scores(self) -> Scores:
        return EmbeddingScores.of(self.text, self.video)

    def banks(self, direction: str) -> Banks:
        of = EmbeddingScores.of
        if direction == "t2v":
            return Banks(of(self.bank_text, self.video), of(self.bank_video, self.video))
        return Banks(of(self.bank_video, self.text), of(self.bank_text, self.text))

    def matrix(self, name: str, direction: str, options: dict) -> np.ndarray:
        """The matrix way."""
        banks = self.banks(direction)
        held = {
            "bank_sim": turned(banks.queries, direction).block(slice(None)).numpy(),
            "gallery_bank_sim": turned(banks.gallery, direction).block(slice(None)).numpy(),
        }
        asked = {option: held[option] for option in RERANKINGS[name].required if option in held}
        return rerank(self.text @ self.video.T, name, direction, **asked, **options)


def options_of(name: str) -> dict:
    return {"beta": 0.7} if "beta" in RERANKINGS[name].required else {}


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 30),
    st.integers(1, 9),
    st.integers(1, 8),
    st.integers(1, 2000),
    st.sampled_from(["c4c", "ce"]),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_equals_the_matrix_way(
    texts: int, videos: int, banked: int, block_bytes: int, v2t: str, whole: bool, seed: int
) -> None:
    case = Case(texts, videos, banked, seed, whole=whole)
    for direction in ("t2v", "v2t"):
        rerankers = {name: make(name, options_of(name)) for name in RERANKINGS}
        found = reranked_ranks(
            case.scores(),
            rerankers,
            case.owner,
            direction,
            v2t=v2t,
            banks=case.banks(direction),
            hubness=True,
            block_bytes=block_bytes,
        )
        scores = turned(case.scores(), direction)
        for name, reranker in rerankers.items():
            matrix = case.matrix(name, direction, options_of(name))
            queries_first = matrix if direction == "t2v" else matrix.T
            blocks = [reranker.change(block, rows).clone() for rows, block in scores.blocks(block_bytes)]
            np.testing.assert_allclose(torch.cat(blocks), queries_first, rtol=1e-9, atol=1e-9, err_msg=name)
            if name == "none" or not whole:
                plain = text_to_video_ranks(matrix, case.owner)
                expected = plain if direction == "t2v" else video_to_text_ranks(matrix, case.owner, v2t)
                np.testing.assert_array_equal(found[name].ranks, expected, err_msg=f"{name} {direction}")
                assert found[name].hubness == pytest.approx(k_occurrence_skewness(queries_first), abs=1e-9)


@pytest.mark.parametrize("name", [name for name, kind in RERANKINGS.items() if name != "none"])
def test_equal_items_tie_in_blocks_too(name: str) -> None:
    """Two videos that are copies, in different blocks: whichever is the own one, the other ties and ranks before it."""
    case = Case(12, 8, 9, 3, whole=False)
    case.video[7] = case.video[0]
    case.text[0] = 3 * case.video[0]
    case.owner = np.arange(12) % 8
    for direction in ("t2v", "v2t"):
        found = reranked_ranks(
            case.scores(),
            {name: make(name, options_of(name))},
            case.owner,
            direction,
            banks=case.banks(direction),
            block_bytes=200,
        )
        matrix = case.matrix(name, direction, options_of(name))
        plain = text_to_video_ranks(matrix, case.owner)
        expected = plain if direction == "t2v" else video_to_text_ranks(matrix, case.owner)
        np.testing.assert_array_equal(found[name].ranks, expected)


class Counted(Scores):
    """Scores that count how often all queries were asked for."""

    def __init__(self, scores: Scores) -> None:
        self.scores, self.asked = scores, 0

    @property
    def shape(self) -> tuple[int, int]:
        return self.scores.shape

    @property
    def device(self) -> torch.device:
        return self.scores.device

    @property
    def transposed(self) -> Scores:
        return self.scores.transposed

    def block(self, rows: slice) -> torch.Tensor:
        self.asked += rows.stop - rows.start
        return self.scores.block(rows)


@pytest.mark.parametrize(("names", "passes"), [(["none"], 0), (["dsl", "dsl-log"], 1), (["dsl", "sinkhorn"], 10)])
def test_passes_are_as_few_as_they_can_be(names: list[str], passes: int) -> None:
    scores = Counted(MatrixScores.of(np.random.default_rng(0).normal(size=(50, 20))))
    fit([make(name, {}) for name in names], queries=scores, block_bytes=2000)
    assert scores.asked == 50 * passes
