"""Models built for their shapes alone."""

from __future__ import annotations

import subprocess
import sys

import torch
from camoe.pipeline.unfilled import unfilled
from camoe.train.config import TrainConfig
from camoe.train.model import build_model
from camoe.train.names import MODELS
from camoe.train.recipe import Recipe
from camoe.train.scorer import FeatureShape

SHAPE = FeatureShape(64, 12, 30.0, 20)


def recipes() -> list[Recipe]:
    """One of every model."""
    return [TrainConfig(features=("x",), out="x", model=name, streams=("fusion",)).recipe for name in MODELS]


def test_every_model_has_the_shapes_of_a_filled_one() -> None:
    for recipe in recipes():
        with unfilled():
            unfilled_state = build_model(recipe, SHAPE).state_dict()
        assert {tensor.device.type for tensor in unfilled_state.values()} <= {"meta"}
        assert {name: tensor.shape for name, tensor in unfilled_state.items()} == {
            name: tensor.shape for name, tensor in build_model(recipe, SHAPE).state_dict().items()
        }


def test_no_model_needs_the_compiler_which_takes_seconds_to_import() -> None:
    program = (
        "import sys; from camoe.pipeline.unfilled import unfilled; from camoe.train.model import build_model;"
        "from tests.pipeline.test_unfilled import SHAPE, recipes\n"
        "for recipe in recipes():\n"
        "    with unfilled(): build_model(recipe, SHAPE)\n"
        "print([name for name in ('torch._dynamo', 'sympy') if name in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"


def test_scales_of_tensors_are_of_the_product_s_shape() -> None:
    with unfilled():
        assert (torch.randn(3, 1) * torch.randn(1, 4)).shape == (3, 4)
        assert (2 * torch.eye(3, 4)).shape == (3, 4)
        assert torch.nn.init.eye_(torch.empty(5, 2)).shape == (5, 2)
