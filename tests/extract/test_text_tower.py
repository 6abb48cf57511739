"""The causal tower: in any company, and where weights cannot be packed."""

from __future__ import annotations

import pytest
import torch
from camoe.extract import text_blocks
from camoe.extract.clip_parts import clip_class
from camoe.extract.text_tower import CausalTower
from camoe.extract.tokens import TokenSequence

LENGTHS = (1, 3, 9, 14, 15, 40, 75)


def sentence(length: int, pooled: tuple[int, ...] | None = None) -> TokenSequence:
    """All begin alike, so a short one's tokens are computed with those of the longest, where that is there."""
    return TokenSequence((0, *range(1, 1 + length), 99), tuple(range(length + 2)), pooled)


@pytest.fixture(scope="module")
def tower() -> CausalTower:
    """OpenAI's architecture, random, two heads as wide as those of trained ones are."""
    torch.manual_seed(0)
    model = clip_class()(64, 64, 1, 64, 32, 77, 100, 128, 2, 3)
    return CausalTower(model.eval().requires_grad_(False), 256)


@pytest.mark.parametrize("packed", [True, False])
def test_a_sentence_has_one_embedding_among_others_of_all_lengths(
    tower: CausalTower, packed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not packed:
        monkeypatch.setattr(text_blocks, "can_pack", lambda dtype: False)
    tower = CausalTower(tower.model, tower.rows)
    sequences = [*map(sentence, LENGTHS), sentence(9, pooled=(2, 5))]
    together = tower.encode(sequences, None, None)
    words = dict(tower.words(sequences))
    for place, sequence in enumerate(sequences):
        assert torch.equal(tower.encode([sequence], None, None)[0], together[place])
        assert words[place].shape == (len(sequence.tokens), 64)
        if sequence.pooled is None:
            assert torch.equal(words[place][-1], together[place])


def test_packed_weights_give_the_same_numbers(tower: CausalTower, monkeypatch: pytest.MonkeyPatch) -> None:
    assert text_blocks.can_pack(torch.float32), "this build of PyTorch cannot pack weights, so nothing is tested here"
    sequences = [sentence(length) for length in LENGTHS]
    packed = tower.encode(sequences, None, None)
    monkeypatch.setattr(text_blocks, "can_pack", lambda dtype: False)
    plain = CausalTower(tower.model, tower.rows).encode(sequences, None, None)
    assert not torch.equal(packed, plain)
    torch.testing.assert_close(packed, plain, rtol=1e-5, atol=1e-5)


def test_an_unknown_activation_has_no_name() -> None:
    assert text_blocks.find_activation(torch.nn.ReLU()) is None
    found = text_blocks.find_activation(torch.nn.GELU("tanh"))
    assert found is not None
    assert (found.name, found.form, found.factor) == ("gelu", "tanh", 1.0)
