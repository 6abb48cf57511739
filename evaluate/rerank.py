"""Re-ranking of a similarity matrix (M texts, N videos) against hubs, as functions of arrays.

Everything is computed in float64 and returned in the library and precision of `sim`. Half-precision results
may round to ties, so rank float64: pass `sim` as float64. Inputs must be finite. Only the order within a
query is meaningful (within a row for `direction="t2v"`, within a column for `"v2t"`); to use several captions
per video, re-rank first and pool afterwards. *Transductive* methods see all queries at once: a query's
ranking depends on the other queries. `rerank` knows them all by name (`camoe.pipeline.reranking`).
"""

from __future__ import annotations

from ..pipeline.arrays import ArrayT
from ..pipeline.reranking.kinds import RERANKINGS
from ..pipeline.reranking.query_bank import QueryBank
from ..pipeline.reranking.table import RERANKERS, rerank

__all__ = [
    "RERANKERS",
    "RERANKINGS",
    "QueryBank",
    "dual_softmax",
    "dual_softmax_log",
    "query_bank",
    "rerank",
    "sinkhorn",
]


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
    return rerank(sim, "dsl", direction, temperature=temperature)


def dual_softmax_log(sim: ArrayT, temperature: float = 1.0, direction: str = "t2v") -> ArrayT:
    """`sim + log softmax(sim / temperature, dim=queries)`: the prior added in log space; (M,N), transductive.

    `sim` in logit units is already a log-probability up to a constant, so that this is the log of
    exp(sim) * prior. Always finite: it neither underflows nor flips on negative scores, and a constant added to
    all scores changes no rank. At a very high temperature it ranks as `sim`; towards 0 the prior decides alone.
    Raises as `dual_softmax`.
    """
    return rerank(sim, "dsl-log", direction, temperature=temperature)


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
    return rerank(sim, "querybank", bank_sim=bank_sim, beta=beta, k=k)


def sinkhorn(sim: ArrayT, temperature: float = 1.0, iterations: int = 10, direction: str = "t2v") -> ArrayT:
    """`exp(sim / temperature)` scaled to equal row sums and equal column sums, as logarithms; transductive.

    Each iteration normalises every query to sum 1, then every candidate to sum queries/candidates (Sinkhorn-Knopp
    in log space). It assumes that the matches are spread evenly over the candidates. t2v: queries are rows; v2t:
    queries are columns.

    Raises ArrayError as `dual_softmax`, or for fewer than one iteration.
    """
    return rerank(sim, "sinkhorn", direction, temperature=temperature, iterations=iterations)
