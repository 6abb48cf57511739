from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from camoe.train import course, trainer
from camoe.train.config import TrainConfig
from camoe.train.divergence import DivergedError, Trace, check, loss_level
from camoe.train.loop import fit

WEIGHTS = torch.tensor([0.5, 0.25, 0.25])
RECIPE = TrainConfig(features=("x.h5",), loss="dsl").recipe


def trace(*rows: list[float]) -> Trace:
    """Rows of three stream losses, gradient norm, scale."""
    return Trace.of(torch.tensor(rows, dtype=torch.float64), WEIGHTS)


def test_the_level_is_the_first_loss_but_at_least_that_of_guessing() -> None:
    assert loss_level(9.0, 64) == 9.0
    assert loss_level(0.01, 64) == math.log(64)


def test_ordinary_steps_pass() -> None:
    check(trace([4, 4, 4, 1, 100], [5000, 3, 3, 9, 99]), 5000.0, RECIPE, 1, 1)


def test_a_stream_that_is_no_number_is_named() -> None:
    message = (
        r"^the loss is no longer finite at step 42 \(epoch 3; stream entity: fusion 4, entity nan, action 5; "
        r"logit scale 99, the largest gradient norm before it 7\); lower --learning-rate \(0.002\) "
        r"or raise --loss-temperature \(1000\)$"
    )
    with pytest.raises(DivergedError, match=message):
        check(trace([4, 4, 4, 7, 99], [4, math.nan, 5, 1, 98], [math.nan] * 5), 5.0, RECIPE, 41, 3)


def test_a_gradient_that_is_no_number() -> None:
    with pytest.raises(DivergedError, match=r"^the gradient is no longer finite at step 1 .*the first of its epoch"):
        check(trace([4, 4, 4, math.inf, 99]), 5.0, RECIPE, 1, 1)


def test_an_explosion_names_its_first_step_and_stream() -> None:
    steps = trace([4, 4, 4, 1, 100], [20, 20, 200, 30, 100], [45, 45, 450, 60, 100])
    with pytest.raises(DivergedError, match=r"the loss exploded to over 5 times 5 at step 12 \(epoch 2; stream action"):
        check(steps, 5.0, RECIPE, 11, 2)
    check(trace([4, 4, 4, 1, 100], [200, 4, 4, 1, 100], *[[4.0, 4, 4, 1, 100]] * 9), 5.0, RECIPE, 1, 1)


def test_a_run_that_explodes_leaves_nothing_not_even_its_checkpoint(
    quick: Callable[..., TrainConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    levels = iter([1e9, 1e9, 1e-3])
    monkeypatch.setattr(course, "check", lambda trace, level, *rest: check(trace, next(levels), *rest))
    seen: list[bool] = []
    save = trainer.save_checkpoint
    monkeypatch.setattr(trainer, "save_checkpoint", lambda *values: (save(*values), seen.append(True)))
    with pytest.raises(DivergedError, match=r"the loss exploded to over 5 times 0.001 at step 11 \(epoch 3; stream"):
        fit(quick(checkpoint_seconds=0, epochs=5))
    assert len(seen) == 2
    assert list(tmp_path.iterdir()) == []
