from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from camoe.pipeline.errors import CamoeError
from camoe.train.losses import LOSSES, cross_entropy_loss, dual_softmax_loss
from hypothesis import given, settings
from hypothesis import strategies as st

SMALL = Path(__file__).parents[1] / "data" / "reference_small.npz"
SHARED = os.environ.get("CAMOE_SHARED")
FILES = [SMALL, *([Path(SHARED) / "reference" / "reference.npz"] if SHARED else [])]
TWO = torch.tensor([[2.0, 0.0], [1.0, 3.0]], dtype=torch.float64)


def reference_cases() -> list[tuple[Path, str]]:
    return [(path, key[:4]) for path in FILES for key in np.load(path) if key.startswith("dsl") and key.endswith("sim")]


def slow_direction(sim: list[list[float]], temperature: float) -> float:
    """Text to video by loops over single numbers."""
    size = len(sim)
    total = 0.0
    for text in range(size):
        logits = []
        for video in range(size):
            column = [math.exp(sim[other][video] / temperature) for other in range(size)]
            logits.append(sim[text][video] * column[text] / sum(column) * size)
        shift = max(logits)
        total += shift + math.log(sum(math.exp(logit - shift) for logit in logits)) - logits[text]
    return total / size


def slow_loss(sim: np.ndarray, temperature: float) -> float:
    return (slow_direction(sim.tolist(), temperature) + slow_direction(sim.T.tolist(), temperature)) / 2


matrices = st.integers(1, 6).flatmap(
    lambda size: st.lists(st.floats(-30, 30), min_size=size**2, max_size=size**2).map(
        lambda values: np.array(values).reshape(size, size)
    )
)


@pytest.mark.parametrize(("path", "case"), reference_cases(), ids=lambda value: getattr(value, "name", value))
def test_equals_the_released_loss_in_value_and_gradient(path: Path, case: str) -> None:
    data = np.load(path)
    sim = torch.from_numpy(data[f"{case}_sim"]).requires_grad_()
    loss = dual_softmax_loss(sim, float(data[f"{case}_temperature"]))
    loss.backward()
    assert loss.dtype == torch.float64
    assert abs(loss.item() - float(data[f"{case}_loss"])) < 1e-8
    assert np.abs(sim.grad.numpy() - data[f"{case}_grad"]).max() < 1e-8  # type: ignore[union-attr]


@settings(deadline=None)
@given(sim=matrices, temperature=st.sampled_from([0.1, 1.0, 10.0, 100.0]))
def test_equals_a_double_loop(sim: np.ndarray, temperature: float) -> None:
    assert dual_softmax_loss(sim, temperature) == pytest.approx(slow_loss(sim, temperature), rel=1e-9, abs=1e-9)


@settings(deadline=None)
@given(sim=matrices)
def test_an_infinite_temperature_is_cross_entropy(sim: np.ndarray) -> None:
    plain = cross_entropy_loss(torch.from_numpy(sim)).item()
    assert dual_softmax_loss(sim, math.inf) == pytest.approx(plain, rel=1e-12, abs=1e-12)
    assert dual_softmax_loss(sim, 1e9) == pytest.approx(plain, rel=1e-5, abs=1e-5)


def test_cross_entropy_by_hand() -> None:
    rows = (math.log(1 + math.exp(-2)) + math.log(1 + math.exp(-2))) / 2
    columns = (math.log(1 + math.exp(-1)) + math.log(1 + math.exp(-3))) / 2
    assert cross_entropy_loss(TWO).item() == pytest.approx((rows + columns) / 2, rel=1e-12)


def test_one_pair_costs_nothing() -> None:
    assert dual_softmax_loss(np.array([[-7.0]]), 0.01) == 0.0


def test_precision_follows_the_input() -> None:
    assert dual_softmax_loss(TWO.numpy()).dtype == np.float64
    assert dual_softmax_loss(TWO.float()).dtype == torch.float32
    assert dual_softmax_loss(TWO.bfloat16()).dtype == torch.float32
    assert dual_softmax_loss(TWO.half()).dtype == torch.float32


@pytest.mark.parametrize("temperature", [0.01, 1.0, 1000.0])
def test_logit_scale_100_in_bfloat16_is_finite(temperature: float) -> None:
    cosine = torch.rand(128, 128, generator=torch.Generator().manual_seed(0)) * 2 - 1
    sim = (100 * cosine).bfloat16().requires_grad_()
    loss = dual_softmax_loss(sim, temperature)
    loss.backward()
    assert loss.isfinite()
    assert sim.grad is not None
    assert sim.grad.isfinite().all()
    assert loss.item() == pytest.approx(dual_softmax_loss(sim.detach().double(), temperature).item(), rel=1e-4)


def test_stop_gradient_prior_keeps_the_value_and_changes_the_gradient() -> None:
    free, stopped = (TWO.clone().requires_grad_() for _ in range(2))
    losses = dual_softmax_loss(free, 1.0), dual_softmax_loss(stopped, 1.0, stop_gradient_prior=True)
    for loss in losses:
        loss.backward()
    assert losses[0].item() == losses[1].item()
    assert not torch.allclose(free.grad, stopped.grad)  # type: ignore[arg-type]
    # with a constant prior the gradient is prior * len * (p - 1) at the diagonal
    prior = TWO.softmax(0)
    p = (TWO * prior * 2).softmax(1)
    prior_t = TWO.T.softmax(0)
    p_t = (TWO.T * prior_t * 2).softmax(1)
    expected = (prior[0, 0] * 2 * (p[0, 0] - 1) + prior_t[0, 0] * 2 * (p_t[0, 0] - 1)) / 4
    assert stopped.grad[0, 0].item() == pytest.approx(expected.item(), rel=1e-12)  # type: ignore[index]


SAME = torch.tensor([[True, False, True], [False, True, False], [True, False, True]])
THREE = torch.tensor([[2.0, 0.5, 1.0], [1.0, 3.0, 0.0], [0.3, -1.0, 4.0]], dtype=torch.float64)


@pytest.mark.parametrize("name", LOSSES)
def test_masked_duplicates_do_not_exist(name: str) -> None:
    loss = LOSSES[name](THREE, 2.0, same_text=SAME, duplicate_text="mask")
    changed = THREE.clone()
    changed[0, 2], changed[2, 0] = 77.0, -5.0
    assert LOSSES[name](changed, 2.0, same_text=SAME, duplicate_text="mask").item() == loss.item()
    assert loss.isfinite()


@pytest.mark.parametrize("name", LOSSES)
def test_distinct_texts_make_the_modes_equal(name: str) -> None:
    apart = torch.eye(3, dtype=torch.bool)
    plain = LOSSES[name](THREE, 2.0).item()
    for mode in ("negative", "mask", "positive"):
        value = LOSSES[name](THREE, 2.0, same_text=apart, duplicate_text=mode).item()
        assert value == pytest.approx(plain, rel=1e-12)
    assert LOSSES[name](THREE, 2.0, same_text=SAME, duplicate_text="negative").item() == plain


def test_positive_duplicates_share_the_target() -> None:
    loss = cross_entropy_loss(THREE, same_text=SAME, duplicate_text="positive")
    rows, columns = THREE.log_softmax(1), THREE.T.log_softmax(1)
    by_hand = sum(-(log[0, 0] + log[0, 2]) / 2 - log[1, 1] - (log[2, 0] + log[2, 2]) / 2 for log in (rows, columns))
    assert loss.item() == pytest.approx((by_hand / 6).item(), rel=1e-12)  # type: ignore[union-attr]


def slow_duplicates(sim: list[list[float]], same: list[list[bool]], mode: str, temperature: float) -> float:
    """Text to video with false negatives, by loops; an infinite temperature is cross-entropy."""
    size, total = len(sim), 0.0
    there = [
        [mode == "positive" or row == column or not same[row][column] for column in range(size)] for row in range(size)
    ]
    for text in range(size):
        logits = {}
        for video in range(size):
            if there[text][video]:
                column = {row: math.exp(sim[row][video] / temperature) for row in range(size) if there[row][video]}
                logits[video] = sim[text][video] * column[text] / sum(column.values()) * size
        shift = max(logits.values())
        norm = shift + math.log(sum(math.exp(logit - shift) for logit in logits.values()))
        right = [video for video in range(size) if video == text or (mode == "positive" and same[text][video])]
        total += sum(norm - logits[video] for video in right) / len(right)
    return total / size


@settings(deadline=None)
@given(
    sim=matrices,
    labels=st.lists(st.integers(0, 2), min_size=6, max_size=6),
    mode=st.sampled_from(["mask", "positive"]),
    temperature=st.sampled_from([1.0, 10.0]),
)
def test_duplicates_equal_a_double_loop(sim: np.ndarray, labels: list[int], mode: str, temperature: float) -> None:
    label = torch.tensor(labels[: len(sim)])
    same = label[:, None] == label[None]
    fast = LOSSES["dsl"](torch.from_numpy(sim), temperature, same_text=same, duplicate_text=mode).item()
    slow = [slow_duplicates(matrix.tolist(), same.tolist(), mode, temperature) for matrix in (sim, sim.T)]
    assert fast == pytest.approx(sum(slow) / 2, rel=1e-9, abs=1e-9)
    if mode == "positive":
        plain = LOSSES["ce"](torch.from_numpy(sim), same_text=same, duplicate_text=mode).item()
        slow = [slow_duplicates(matrix.tolist(), same.tolist(), mode, 1e12) for matrix in (sim, sim.T)]
        assert plain == pytest.approx(sum(slow) / 2, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("mode", ["negative", "mask", "positive"])
def test_several_matrices_at_once_are_one_after_the_other(name: str, mode: str) -> None:
    sims = torch.stack([THREE, THREE.T * 2, THREE + 1, -THREE]).view(2, 2, 3, 3)
    same = torch.stack([SAME, torch.eye(3, dtype=torch.bool)]).view(2, 1, 3, 3).expand(2, 2, 3, 3)
    together = LOSSES[name](sims, 2.0, same_text=same, duplicate_text=mode)
    assert together.shape == (2, 2)
    for row in range(2):
        for column in range(2):
            alone = LOSSES[name](sims[row, column], 2.0, same_text=same[row, column], duplicate_text=mode)
            assert together[row, column].item() == pytest.approx(alone.item(), rel=1e-12)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("mode", ["negative", "mask", "positive"])
def test_gradients_at_logit_scale_100_are_finite(name: str, mode: str) -> None:
    cosine = torch.rand(64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    same = torch.arange(64)[:, None] // 4 == torch.arange(64)[None] // 4
    for temperature in (0.01, 1.0, 1000.0):
        sim = (100 * cosine).bfloat16().requires_grad_()
        LOSSES[name](sim, temperature, same_text=same, duplicate_text=mode).backward()
        assert sim.grad is not None
        assert sim.grad.isfinite().all()
        assert sim.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.zeros(2, 3), 1.0), r"sim has shape \(2, 3\); a contrastive loss needs a square matrix"),
        ((torch.zeros(0, 0), 1.0), r"sim has shape \(0, 0\)"),
        ((torch.zeros(2, 2), 0.0), "temperature must be positive, not 0.0"),
        ((torch.zeros(2, 2), math.nan), "temperature must be positive, not nan"),
    ],
)
def test_mistakes(arguments: tuple[torch.Tensor, float], message: str) -> None:
    with pytest.raises(CamoeError, match=message):
        dual_softmax_loss(*arguments)


def test_unknown_duplicate_mode() -> None:
    with pytest.raises(CamoeError, match="duplicate_text must be one of negative, mask, positive, not 'x'"):
        dual_softmax_loss(TWO, 1.0, duplicate_text="x")
