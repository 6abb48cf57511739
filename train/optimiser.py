"""PyTorch's fused AdamW as calls on tensors.

Not as `torch.optim.AdamW`: the first of these that a process makes imports PyTorch's compiler, which costs
more than a small training does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch.optim.adamw import adamw

BETAS, EPSILON = (0.9, 0.999), 1e-8  # torch.optim.AdamW's
Moments = dict[str, torch.Tensor]
"""A parameter's `step`, and its `exp_avg` and `exp_avg_sq` as large as itself."""


class AdamW:
    """The moments of some parameters; matrices decay, the rest does not."""

    def __init__(self, parameters: Sequence[torch.Tensor], weight_decay: float) -> None:
        matrices = [parameter for parameter in parameters if parameter.ndim >= 2]
        rest = [parameter for parameter in parameters if parameter.ndim < 2]
        self.groups = [(group, decay) for group, decay in ((matrices, weight_decay), (rest, 0.0)) if group]
        self.moments = [
            {
                "step": torch.zeros((), device=parameter.device),
                "exp_avg": torch.zeros_like(parameter, requires_grad=False),
                "exp_avg_sq": torch.zeros_like(parameter, requires_grad=False),
            }
            for parameter in matrices + rest
        ]

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Change the parameters that have a gradient."""
        first = 0
        for group, decay in self.groups:
            moments = self.moments[first : first + len(group)]
            first += len(group)
            moved = [place for place, parameter in enumerate(group) if parameter.grad is not None]
            update(
                [group[place] for place in moved],
                [gradient for parameter in group if (gradient := parameter.grad) is not None],
                [moments[place] for place in moved],
                rate=rate,
                decay=decay,
            )

    def restore(self, moments: Mapping[int, Moments]) -> None:
        """Go on from moments as they were, by their places."""
        for place, kept in moments.items():
            for name, tensor in kept.items():
                self.moments[place][name].copy_(tensor)


def update(
    parameters: list[torch.Tensor],
    gradients: list[torch.Tensor],
    moments: Sequence[Moments],
    *,
    rate: float,
    decay: float,
) -> None:
    """One step of `parameters` and their `moments`, in place."""
    adamw(
        parameters,
        gradients,
        [own["exp_avg"] for own in moments],
        [own["exp_avg_sq"] for own in moments],
        [],
        [own["step"] for own in moments],
        fused=True,
        amsgrad=False,
        beta1=BETAS[0],
        beta2=BETAS[1],
        lr=rate,
        weight_decay=decay,
        eps=EPSILON,
        maximize=False,
    )
