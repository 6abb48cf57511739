from __future__ import annotations

import subprocess
import sys

import torch
from camoe.train.optimiser import AdamW


def _parameters() -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=draw).requires_grad_() for shape in ((3, 4), (4,), (2, 3, 2), ())]


def _give_gradients(parameters: list[torch.Tensor], step: int) -> None:
    draw = torch.Generator().manual_seed(step)
    for parameter in parameters:
        parameter.grad = torch.randn(parameter.shape, generator=draw)


def test_the_bits_are_those_of_pytorchs_optimiser_also_after_a_restart() -> None:
    ours, theirs = _parameters(), _parameters()
    matrices = [parameter for parameter in theirs if parameter.ndim >= 2]
    rest = [parameter for parameter in theirs if parameter.ndim < 2]
    groups = [{"params": matrices, "weight_decay": 0.3}, {"params": rest, "weight_decay": 0.0}]
    published, optimiser = torch.optim.AdamW(groups, fused=True), AdamW(ours, 0.3)
    for step in range(4):
        _give_gradients(ours, step)
        _give_gradients(theirs, step)
        ours[1].grad = theirs[1].grad = None  # what took no part stays as it is
        for group in published.param_groups:
            group["lr"] = 0.01 * (step + 1)
        published.step()
        optimiser.step(0.01 * (step + 1))
        moments, optimiser = optimiser.moments, AdamW(ours, 0.3)
        optimiser.restore(dict(enumerate(moments)))
    for own, other in zip(ours, theirs, strict=True):
        assert torch.equal(own, other)


def test_a_step_does_not_import_the_compiler() -> None:
    code = (
        "import sys, torch; from camoe.train.optimiser import AdamW; weight = torch.zeros(2, 2, requires_grad=True); "
        "weight.grad = torch.ones(2, 2); AdamW([weight], 0.1).step(0.1); sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
