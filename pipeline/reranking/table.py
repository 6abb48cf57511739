"""The re-rankings by name, and `rerank` of a matrix (M texts, N videos) that is held."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..arrays import ArrayT
from ..errors import ArrayError
from ..scores import Scores
from .balance import BankSinkhorn, Sinkhorn
from .base import ALL, Reranker, fit, held
from .kinds import BANKS, RERANKINGS
from .neighbours import Centred, CrossDomainScaling, NearestNormalised
from .query_bank import DualDynamic, DualInverted, QueryBank
from .softmax import DualSoftmax, DualSoftmaxLog, InvertedSoftmax, Unchanged
from .values import restore

DIRECTIONS = ("t2v", "v2t")

RERANKERS: dict[str, Callable[..., Reranker]] = {
    "none": Unchanged,
    "dsl": DualSoftmax,
    "dsl-log": DualSoftmaxLog,
    "querybank": QueryBank,
    "sinkhorn": Sinkhorn,
    "nnn": NearestNormalised,
    "csls": CrossDomainScaling,
    "inverted-softmax": InvertedSoftmax,
    "dualis": DualInverted,
    "dualdis": DualDynamic,
    "bank-sinkhorn": BankSinkhorn,
    "dn": Centred,
}
"""What makes each of `RERANKINGS`, from its options but for the banks."""


def rerank(sim: ArrayT, method: str, direction: str = "t2v", **options: Any) -> ArrayT:
    """`sim` (M texts, N videos) re-ranked by a `RERANKINGS` name for one direction, always (M,N).

    Banks are texts by videos like `sim` where a text asks a video: `bank_sim` is (B,N) for t2v (training captions) and
    (M,B) for v2t (training videos). `gallery_bank_sim` is (B,N), training videos by videos, for t2v and (M,B), texts by
    training captions, for v2t. Raises ArrayError for an unknown method, direction or option, for one that is missing,
    and for values that do not fit.
    """
    _check(method, direction, options)
    scores = turned(held(sim), direction)
    banks = {name: turned(held(options.pop(name), name), direction) for name in BANKS if name in options}
    for name, bank in banks.items():
        if bank.gallery != scores.gallery:
            raise ArrayError(
                f"{name} has {bank.gallery} gallery items and sim {scores.gallery}; score both against one gallery"
            )
    reranker = make(method, options)
    fit([reranker], queries=scores, bank=banks.get(BANKS[0]), gallery_bank=banks.get(BANKS[1]))
    changed = reranker.change(scores.block(ALL), ALL)
    return restore(changed if direction == "t2v" else changed.T, sim)


def make(method: str, options: Mapping[str, Any]) -> Reranker:
    """A re-ranking by name, not fitted yet; options that are left out have their defaults."""
    return RERANKERS[method](**{**RERANKINGS[method].defaults, **options})


def turned(scores: Scores, direction: str) -> Scores:
    """Scores of texts against videos with the queries of a direction first."""
    return scores if direction == "t2v" else scores.transposed


def _check(method: str, direction: str, options: dict[str, Any]) -> None:
    if method not in RERANKINGS:
        raise ArrayError(f"unknown re-ranking {method!r}; choose from {', '.join(RERANKINGS)}")
    if direction not in DIRECTIONS:
        raise ArrayError(f"unknown direction {direction!r}; choose from {', '.join(DIRECTIONS)}")
    kind = RERANKINGS[method]
    for name in options:
        if name not in kind.options:
            known = ", ".join(kind.options) or "none"
            raise ArrayError(f"re-ranking {method!r} has no option {name!r}; it knows: {known}")
    for name in kind.required:
        if options.get(name) is None:
            raise ArrayError(f"re-ranking {method!r} needs the option {name!r}")
