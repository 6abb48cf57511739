"""Re-rankings that share items out evenly: Sinkhorn over the queries that are ranked, or over a bank."""

from __future__ import annotations

import torch

from .base import Reranker
from .statistics import Balance
from .values import Sharpness


class Sinkhorn(Reranker):
    """`exp(s / temperature)` scaled to equal row sums and equal column sums over all queries, as logarithms."""

    def __init__(self, temperature: float, iterations: int) -> None:
        self.sharpness = Sharpness.temperature(temperature)
        self.balance = Balance(self.sharpness, iterations, name="sinkhorn")
        self.over_queries = (self.balance,)

    def change(self, scores: torch.Tensor, rows: slice) -> torch.Tensor:
        balance = self.balance
        return self.sharpness.of(scores).sub_(balance.of_query[rows, None]).sub_(balance.of_item).add_(balance.share)


class BankSinkhorn(Reranker):
    """`s / temperature + log b`: the items' scale after balancing a query bank against the gallery, items first.

    Source: UCoFiA's code (ICCV 2023), where 4 iterations give a bias that a log-softmax shifts and each of its three
    levels is biased by itself.
    """

    def __init__(self, temperature: float, iterations: int) -> None:
        self.sharpness = Sharpness.temperature(temperature)
        self.balance = Balance(self.sharpness, iterations, items_first=True, name="bank-sinkhorn")
        self.over_bank = (self.balance,)

    @property
    def bias(self) -> torch.Tensor:
        """`(N,)`: what is added, `log_softmax(log b)`."""
        return (-self.balance.of_item).log_softmax(0)

    @property
    def bank_bias(self) -> torch.Tensor:
        """`(B,)`: the same of the bank's queries."""
        return (-self.balance.of_query).log_softmax(0)

    def change(self, scores: torch.Tensor, rows: slice) -> torch.Tensor:
        return self.sharpness.of(scores).add_(self.bias)
