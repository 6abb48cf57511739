"""Re-ranking of a similarity matrix (M texts, N videos) against hubs: DSL, query bank, Sinkhorn.

Everything is computed in float64 and returned in the library and precision of `sim`. Half-precision results
may round to ties, so rank float64: pass `sim` as float64. Inputs must be finite. Only the order within a
query is meaningful (within a row for `direction="t2v"`, within a column for `"v2t"`); to use several captions
per video, re-rank first and pool afterwards. *Transductive* methods see all queries at once: a query's
ranking depends on the other queries.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..pipeline.errors import ArrayError
from ..pipeline.ranking import ArrayT, like, matrix
from .names import RERANKINGS

# The dimension of the prior's softmax: over the queries, that is the other way round than the ranking.
QUERY_DIM = {"t2v": 0, "v2t": 1}


def dual_softmax(sim: ArrayT, temperature: float = 1.0, direction: str = "t2v") -> ArrayT:
    """`sim * softmax(sim / temperature, dim=queries)`, (M,N) whatever the direction; transductive.

    t2v: the softmax runs over texts (dim 0); v2t: over videos (dim 1). Each direction has its own prior, and
    the matrix may be rectangular. Source: CAMoE (arXiv 2109.04290); its released code multiplies by
    `len(sim)` too, which, being one positive number, changes no rank. It assumes that every item has one
    match. Two weaknesses that `dual_softmax_log` does not have: priors underflow to ties when scores lie more
    than about 700 temperatures apart, and a negative score is *raised* by a small prior.

    Raises ArrayError for values that are not finite, a temperature that is not positive, or an unknown
    direction.
    """
    scores = _finite(sim)
    prior = torch.softmax(_tempered(scores, temperature), dim=_query_dim(direction))
    return _restore(scores * prior, sim)


def dual_softmax_log(sim: ArrayT, temperature: float = 1.0, direction: str = "t2v") -> ArrayT:
    """`sim + log softmax(sim / temperature, dim=queries)`: the prior added in log space; (M,N), transductive.

    `sim` in logit units is already a log-probability up to a constant, so that this is the log of
    exp(sim) * prior. Always finite: it neither underflows nor flips on negative scores, and a constant added to
    all scores changes no rank. At a very high temperature it ranks as `sim`; towards 0 the prior decides alone.
    Raises as `dual_softmax`.
    """
    scores = _finite(sim)
    log_prior = torch.log_softmax(_tempered(scores, temperature), dim=_query_dim(direction))
    return _restore(scores + log_prior, sim)


def query_bank(sim: ArrayT, bank_sim: ArrayT, beta: float, k: int = 1) -> ArrayT:
    """Dynamic inverted softmax of QB-Norm (arXiv 2112.12777); rows are queries, each ranked for itself.

    sim (Q,N); bank_sim (B,N): bank queries, from training data only, against the same gallery. The *activation
    set* is the gallery items among the `k` best of some bank query: the hubs. A query whose best item is in it
    gets `log(exp(beta * sim) / sum_b exp(beta * bank_sim[b]))`, every other row returns unchanged (rows are not
    comparable with each other). beta is in units of `sim`: QB-Norm's 20 on cosines is 0.2 at a logit scale of
    100. Ties at the k-th place of the bank, and for a query's best, all count. For video-to-text both matrices
    are transposed (`rerank` does it).

    Raises ArrayError for values that are not finite, galleries of different size, beta <= 0, or k outside 1..N.
    """
    return QueryBank.of(bank_sim, beta, k).apply(sim)


@dataclass(frozen=True)
class QueryBank:
    """What `query_bank` must know of `size` bank queries: gallery items that are hubs, `is_hub (N,)`, and
    `log_sum (N,) = log sum_b exp(beta * bank_sim[b])`. Made once, it serves any number of queries."""

    is_hub: torch.Tensor
    log_sum: torch.Tensor
    beta: float
    size: int

    @classmethod
    def of(cls, bank_sim: ArrayT, beta: float, k: int = 1) -> QueryBank:
        """From bank_sim (B,N); raises ArrayError as `query_bank`."""
        bank = _finite(bank_sim, "bank_sim")
        items = bank.shape[1]
        if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or not 1 <= k <= items:
            raise ArrayError(
                f"the query bank's k is {k!r}; choose a whole number from 1 to {items}, the gallery's size"
            )
        beta = _positive(beta, "the query bank's beta")
        kth_best = bank.topk(int(k), dim=1).values[:, -1:]
        return cls((bank >= kth_best).any(0), torch.logsumexp(beta * bank, dim=0), beta, len(bank))

    def apply(self, sim: ArrayT) -> ArrayT:
        """`query_bank` of sim (Q,N)."""
        scores = _finite(sim)
        items = len(self.is_hub)
        if items != scores.shape[1]:
            raise ArrayError(
                f"bank_sim has {items} gallery items and sim {scores.shape[1]}; score both against one gallery"
            )
        is_best = scores == scores.amax(1, keepdim=True)
        changes = (is_best & self.is_hub.to(scores.device)).any(1, keepdim=True)
        inverted = self.beta * scores - self.log_sum.to(scores.device)
        if not inverted.isfinite().all():
            largest = f"{scores.abs().max():g}"
            raise ArrayError(f"the query bank's beta of {self.beta} is too large for scores up to {largest}")
        return _restore(torch.where(changes, inverted, scores), sim)


def sinkhorn(sim: ArrayT, temperature: float = 1.0, iterations: int = 10, direction: str = "t2v") -> ArrayT:
    """`exp(sim / temperature)` scaled to equal row sums and equal column sums, as logarithms; transductive.

    Each iteration normalises every query to sum 1, then every candidate to sum queries/candidates (Sinkhorn-Knopp
    in log space). It assumes that the matches are spread evenly over the candidates. t2v: queries are rows; v2t:
    queries are columns.

    Raises ArrayError as `dual_softmax`, or for fewer than one iteration.
    """
    if isinstance(iterations, bool) or not isinstance(iterations, (int, np.integer)) or iterations < 1:
        raise ArrayError(f"sinkhorn's iterations is {iterations!r}; choose a whole number from 1")
    scores, queries = _finite(sim), _query_dim(direction)
    plan = _tempered(scores, temperature)
    share = math.log(scores.shape[queries] / scores.shape[1 - queries])
    for _ in range(int(iterations)):
        plan = plan - torch.logsumexp(plan, dim=1 - queries, keepdim=True)
        plan = plan - torch.logsumexp(plan, dim=queries, keepdim=True) + share
    return _restore(plan, sim)


def _unchanged(sim: ArrayT, direction: str = "t2v") -> ArrayT:
    return sim


def _query_bank_directed(sim: ArrayT, bank_sim: ArrayT, beta: float, k: int = 1, direction: str = "t2v") -> ArrayT:
    if direction == "t2v":
        return query_bank(sim, bank_sim, beta, k)
    return query_bank(sim.T, bank_sim.T, beta, k).T


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "none": _unchanged,
    "dsl": dual_softmax,
    "dsl-log": dual_softmax_log,
    "querybank": _query_bank_directed,
    "sinkhorn": sinkhorn,
}


@dataclass(frozen=True)
class Reranker:
    """One way to re-rank: `function(sim, **options, direction=…)` -> (M,N)."""

    function: Callable[..., Any]
    transductive: bool
    options: tuple[str, ...] = ()
    required: tuple[str, ...] = ()


RERANKERS: dict[str, Reranker] = {
    name: Reranker(_FUNCTIONS[name], kind.transductive, kind.options, kind.required)
    for name, kind in RERANKINGS.items()
}


def rerank(sim: ArrayT, method: str, direction: str = "t2v", **options: Any) -> ArrayT:
    """`sim` (M texts, N videos) re-ranked by a `RERANKERS` name for one direction, always (M,N).

    The query bank's `bank_sim` is texts by videos like `sim`: (B,N) for t2v (training captions), (M,B) for
    v2t (training videos). Raises ArrayError for an unknown method, direction or option, for one that is
    missing, and as the function.
    """
    if method not in RERANKERS:
        raise ArrayError(f"unknown re-ranking {method!r}; choose from {', '.join(RERANKERS)}")
    _query_dim(direction)
    reranker = RERANKERS[method]
    for name in options:
        if name not in reranker.options:
            known = ", ".join(reranker.options) or "none"
            raise ArrayError(f"re-ranking {method!r} has no option {name!r}; it knows: {known}")
    for name in reranker.required:
        if options.get(name) is None:
            raise ArrayError(f"re-ranking {method!r} needs the option {name!r}")
    return reranker.function(sim, direction=direction, **options)


def _finite(values: ArrayT, name: str = "sim") -> torch.Tensor:
    tensor = matrix(values, name).to(torch.float64)
    if not tensor.isfinite().all():
        raise ArrayError(f"{name} contains infinite values; re-ranking needs finite scores")
    return tensor


def _tempered(scores: torch.Tensor, temperature: float) -> torch.Tensor:
    tempered = scores / _positive(temperature, "the temperature")
    if not tempered.isfinite().all():
        raise ArrayError(f"a temperature of {temperature} is too small for scores up to {scores.abs().max():g}")
    return tempered


def _positive(value: float, name: str) -> float:
    number = float(value)
    if not (math.isfinite(number) and number > 0):
        raise ArrayError(f"{name} is {value}; choose a positive number")
    return number


def _query_dim(direction: str) -> int:
    if direction not in QUERY_DIM:
        raise ArrayError(f"unknown direction {direction!r}; choose from {', '.join(QUERY_DIM)}")
    return QUERY_DIM[direction]


def _restore(result: torch.Tensor, sim: ArrayT) -> ArrayT:
    """Back to the library and precision of `sim`; whole numbers become float64."""
    if isinstance(sim, torch.Tensor):
        return result.to(sim.dtype) if sim.is_floating_point() else result
    dtype = np.asarray(sim).dtype
    return like(result, sim).astype(dtype if dtype.kind == "f" else np.float64, copy=False)
