"""The blocks of a text tower as `text_tower.py` runs them: what happens in them before attention, and after it.

On a CPU, weights are kept once more in the order in which oneDNN reads them, and activations are part of the products.
The sum that goes from block to block is float32 in any precision.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Activation:
    """`f(x) = function(factor x) / factor`; oneDNN calls the function by `name`, in the form `form`."""

    function: Callable[[Tensor], Tensor] = nn.Identity()
    name: str = "none"
    form: str = ""
    factor: float = 1.0


_NONE = Activation()
_QUICK_GELU = Activation(F.silu, "swish", factor=1.702)


def find_activation(module: nn.Module) -> Activation | None:
    """What a module of OpenAI's CLIP or of open_clip computes between the two products of an MLP; none if unknown."""
    if type(module).__name__ == "QuickGELU":
        return _QUICK_GELU
    if isinstance(module, nn.GELU):
        return Activation(partial(F.gelu, approximate=module.approximate), "gelu", module.approximate)
    return None


class Linear:
    """`function(W x + b)` of an activation, `(R, K)` of the weights' own type -> `(R, M)`."""

    def __init__(self, weight: Tensor, bias: Tensor, activation: Activation = _NONE) -> None:
        self.weight, self.bias, self.activation = weight.detach(), bias.detach(), activation
        self.packed = weight.device.type == "cpu" and can_pack(weight.dtype)
        if self.packed:
            self.weight = _pack(self.weight)

    def __call__(self, x: Tensor) -> Tensor:
        if self.packed:
            return _packed_product(x, self.weight, self.bias, self.activation)
        return self.activation.function(F.linear(x, self.weight, self.bias))


class Block:
    """A residual block of OpenAI's CLIP or of open_clip, whose activation must be a known one.

    The factor of the activation is in the norm before it and in the sum behind it, so the weights stay what they are.
    """

    def __init__(self, block: Any) -> None:
        attention, hidden, hidden_out = block.attn, block.mlp.c_fc, block.mlp.c_proj
        activation = find_activation(block.mlp.gelu)
        assert activation is not None
        self.heads = attention.num_heads
        self._dtype, self._factor = hidden.weight.dtype, activation.factor
        self._norm_1, self._norm_2 = block.ln_1, deepcopy(block.ln_2)
        self._norm_2.weight.data = activation.factor * block.ln_2.weight.data
        self._norm_2.bias.data = activation.factor * block.ln_2.bias.data
        self._query_key_value = Linear(attention.in_proj_weight, attention.in_proj_bias)
        self._mixed_out = Linear(attention.out_proj.weight, attention.out_proj.bias)
        self._hidden = Linear(hidden.weight, activation.factor * hidden.bias, activation)
        self._hidden_out = Linear(hidden_out.weight, activation.factor * hidden_out.bias)

    def before(self, x: Tensor) -> Tensor:
        """`x (R, W)` float32 -> queries, keys and values `(R, 3 W)`."""
        return self._query_key_value(self._norm_1(x).to(self._dtype))

    def after(self, x: Tensor, mixed: Tensor) -> Tensor:
        """`x (R, W)`, and what attention made of it `(R, W)` -> the block's output, in the place of `x`."""
        x.add_(self._mixed_out(mixed))
        return x.add_(self._hidden_out(self._hidden(self._norm_2(x).to(self._dtype))), alpha=1 / self._factor)


@cache
def can_pack(dtype: torch.dtype) -> bool:
    """Whether this build of PyTorch has oneDNN's packed products of a type, and they work on this machine."""
    try:
        weight, x = torch.eye(8, dtype=dtype), torch.ones(2, 8, dtype=dtype)
        return torch.equal(_packed_product(x, _pack(weight), torch.zeros(8, dtype=dtype), _NONE), x)
    except (AttributeError, RuntimeError):
        return False


def _pack(weight: Tensor) -> Tensor:
    """The order is the same for any number of rows but one, which has another."""
    found: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), 16)
    return found


def _packed_product(x: Tensor, weight: Tensor, bias: Tensor, activation: Activation) -> Tensor:
    found: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, activation.name, [], activation.form)
    return found
