"""The tower for queries against the one that makes stores."""

from __future__ import annotations

import pytest
import torch
from camoe.extract import text_blocks
from camoe.extract.clip_encoder import ClipEncoder
from camoe.extract.clip_weights import clip_package
from camoe.extract.query_tower import QueryTower
from camoe.extract.tokens import TokenSequence
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

SENTENCES = [
    TokenSequence((49406, 320, 736, 7048, 49407), (0, 1, 2, 3, 4)),
    TokenSequence((49406, 736, 49407), (0, 2, 4)),
    TokenSequence((49406, 320, 736, 7048, 49407), (0, 1, 2, 3, 4), pooled=(2, 3)),
    TokenSequence((49406, *range(1000, 1075), 49407), tuple(range(77))),
    TokenSequence((49406, 49407), (0, 1)),
]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> ClipEncoder:
    """OpenAI's architecture, random; its weights as wide as those of trained ones are."""
    torch.manual_seed(0)
    model = clip_package().model.CLIP(64, 64, 2, 128, 32, 77, 49408, 128, 2, 3)
    path = tmp_path_factory.mktemp("clip") / "random.pt"
    torch.save(model.state_dict(), path)
    return ClipEncoder.load(str(path), "cpu", "fp32")


def assert_same(encoder: ClipEncoder, sequences: list[TokenSequence]) -> None:
    ours, theirs = QueryTower(encoder).encode_tokens(sequences), encoder.encode_tokens(sequences)
    assert ours.dtype == torch.float32
    assert (1 - F.cosine_similarity(ours.double(), theirs.double())).abs().max() < 1e-6
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_sentences_have_the_embeddings_of_the_store(encoder: ClipEncoder) -> None:
    assert text_blocks.can_pack(torch.float32), "this build of PyTorch cannot pack weights, so nothing is tested here"
    assert_same(encoder, SENTENCES)
    for sentence in SENTENCES:
        assert_same(encoder, [sentence])
    assert_same(ClipEncoder.load("tiny", "cpu", "fp32"), SENTENCES)


def test_more_tokens_than_fit_at_once(encoder: ClipEncoder) -> None:
    long = [TokenSequence((49406, *range(start, start + 75), 49407), tuple(range(77))) for start in range(0, 800, 80)]
    assert_same(encoder, long)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=9), min_size=1, max_size=5, unique_by=tuple))
def test_shared_beginnings(encoder: ClipEncoder, words: list[list[int]]) -> None:
    assert_same(encoder, [TokenSequence((49406, *row, 49407), tuple(range(len(row) + 2))) for row in words])
