"""A recorded case beside ours: the greatest difference of every output and gradient."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from . import recompute
from .cases import GRADIENT, Case, Compute, Computed, Tensors
from .rerankings import RERANKINGS, computing

TOLERANCE = 1e-6

HEADS: dict[str, tuple[str, Compute]] = {
    "query_scoring": ("query-scoring", recompute.query_scoring),
    "xpool": ("xpool", recompute.xpool),
    "xpool_baselines": ("xpool", recompute.xpool_baselines),
    "clip_loss": ("xpool", recompute.clip_loss),
    "tmass_train": ("tmass", recompute.tmass_train),
    "tmass_eval": ("tmass", recompute.tmass_eval),
    "dicosa": ("dicosa", recompute.dicosa),
    "afa": ("afa", recompute.afa),
    "ti": ("ti", recompute.ti),
    "wti": ("wti", recompute.wti),
    "cdcr_dp": ("meanp", recompute.cdcr_dp),
    "cdcr": ("wti", recompute.cdcr_wti),
    "drl_dp": ("meanp", recompute.drl_dp),
    "drl_seqtransf": ("seqtransf", recompute.drl_seqtransf),
    "xclip": ("xclip", recompute.xclip),
    "emcl": ("emcl", recompute.emcl),
    "emcl_net": ("emcl", recompute.emcl_net),
    "clip4clip_meanp": ("meanp", recompute.meanp),
    "clip4clip_seqtransf": ("seqtransf", recompute.seqtransf),
    "clip4clip_masked_mean": ("meanp", recompute.masked_means),
    "clip4clip_loss": ("meanp", recompute.clip4clip_loss),
}
"""By the name of a case, or the beginning of it up to `_` or a digit: the head's option, and what computes it."""


@dataclass(frozen=True)
class Line:
    """One output of one case: `difference` is the greatest |a - b| / max(1, |b|); a `remark` stands where none is."""

    head: str
    case: str
    output: str
    difference: float | None = None
    remark: str = ""
    passed: bool = True


def compare(case: Case) -> Iterator[Line]:
    """A line for each output and gradient of a case, or one that says why there are none."""
    head, compute = _whose(case.name)
    if compute is None:
        for output in case.output or ["-"]:
            yield Line(head, case.name, output, remark="not implemented")
        return
    inputs = {
        name: value.clone().requires_grad_() if value.dtype == torch.float64 else value
        for name, value in case.input.items()
    }
    own = Case(case.name, inputs, case.weights, case.param, case.output)
    try:
        found = compute(own)
    except (KeyError, ValueError, RuntimeError, IndexError, TypeError, ZeroDivisionError) as error:
        reason = f"lacks {error}" if isinstance(error, KeyError) else " ".join(str(error).split())[:200]
        yield Line(head, case.name, "-", remark=f"not computed ({reason})", passed=False)
        return
    for output, expected in case.output.items():
        yield _line(head, case.name, output, found, expected)
    for output, gradients in case.gradients.items():
        yield from _gradients(head, case.name, output, gradients, found, inputs)


def difference(found: torch.Tensor, expected: torch.Tensor) -> float:
    """The greatest |a - b| / max(1, |b|) in float64; NaN equals NaN, infinity itself; other shapes: infinity."""
    if found.shape != expected.shape:
        return float("inf")
    a, b = found.detach().double(), expected.double()
    apart = (a - b).abs() / b.abs().clamp_min(1)
    apart = apart.masked_fill((a == b) | (a.isnan() & b.isnan()), 0.0)
    return float(apart.nan_to_num(nan=torch.inf, posinf=torch.inf).amax()) if apart.numel() else 0.0


def _whose(name: str) -> tuple[str, Compute | None]:
    """The option and the function of the longest name that the case's begins with."""
    known = HEADS | {case: (option, computing(rerank)) for case, (option, rerank) in RERANKINGS.items()}
    fitting = [begin for begin in known if re.match(re.escape(begin) + r"(?=$|_|\d)", name)]
    return known[max(fitting, key=len)] if fitting else ("-", None)


def _line(head: str, case: str, output: str, found: Computed, expected: torch.Tensor) -> Line:
    if output in found.left_out:
        return Line(head, case, output, remark=f"not compared ({found.left_out[output]})")
    if output not in found.outputs:
        return Line(head, case, output, remark="not computed", passed=False)
    apart = difference(found.outputs[output], expected)
    return Line(head, case, output, apart, passed=apart <= TOLERANCE)


def _gradients(
    head: str, case: str, output: str, expected: Tensors, found: Computed, inputs: Tensors
) -> Iterator[Line]:
    """Of the sum of an output (none named: the main one) by inputs."""
    summed = found.outputs.get(output or found.main)
    label = GRADIENT + (f"_of_{output}" if output else "")
    for name, gradient in expected.items():
        if summed is None or name not in inputs or not inputs[name].requires_grad:
            yield Line(head, case, f"{label}/{name}", remark="not computed", passed=False)
            continue
        (ours,) = torch.autograd.grad(summed.sum(), inputs[name], retain_graph=True, materialize_grads=True)
        apart = difference(ours, gradient)
        yield Line(head, case, f"{label}/{name}", apart, passed=apart <= TOLERANCE)
