"""The re-rankings by name, and what each of them needs besides a query and its scores of the gallery.

Plain values, so that a command can list them without loading torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

NOTHING, A_BANK, BOTH_BANKS, ALL_QUERIES = "nothing", "a query bank", "both banks", "all queries"


@dataclass(frozen=True)
class RerankingKind:
    """What a re-ranking `needs`, its options with their `defaults`, and its `required` ones, which have none.

    The query bank is training queries against the gallery, `bank_sim`; the gallery bank training items of the gallery's
    kind, `gallery_bank_sim`.
    """

    needs: str = NOTHING
    defaults: Mapping[str, float] = field(default_factory=dict)
    required: tuple[str, ...] = ()

    @property
    def transductive(self) -> bool:
        """Whether the answer to one query depends on the others."""
        return self.needs == ALL_QUERIES

    @property
    def options(self) -> tuple[str, ...]:
        """All that can be said of it."""
        return (*self.required, *self.defaults)


BANK = ("bank_sim",)
BANKS = (*BANK, "gallery_bank_sim")

RERANKINGS: dict[str, RerankingKind] = {
    "none": RerankingKind(),
    "dsl": RerankingKind(ALL_QUERIES, {"temperature": 1.0}),
    "dsl-log": RerankingKind(ALL_QUERIES, {"temperature": 1.0}),
    "querybank": RerankingKind(A_BANK, {"k": 1}, (*BANK, "beta")),
    "sinkhorn": RerankingKind(ALL_QUERIES, {"temperature": 1.0, "iterations": 10}),
    "nnn": RerankingKind(A_BANK, {"alpha": 0.75, "k": 128}, BANK),
    "csls": RerankingKind(A_BANK, {"k": 10}, BANK),
    "inverted-softmax": RerankingKind(A_BANK, {}, (*BANK, "beta")),
    "dualis": RerankingKind(BOTH_BANKS, {"beta1": 1 / 1.99, "beta2": 3.0}, BANKS),
    "dualdis": RerankingKind(BOTH_BANKS, {"beta1": 1 / 1.99, "beta2": 3.0, "k": 1}, BANKS),
    "bank-sinkhorn": RerankingKind(A_BANK, {"temperature": 1.0, "iterations": 4}, BANK),
    "dn": RerankingKind(A_BANK, {"dn_lambda": 0.5}, BANK),
}
"""Defaults are those of published code, in the units of its scores; ours: temperatures of 1, 10 iterations."""
