"""Causal attention over a prefix tree: whole sentences are gathered from its nodes, each with its beginning."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from .prefix_tree import PrefixTree

_DEPTH_STEP = 16
"""Attention runs over a multiple of this many places: sums over other lengths are split otherwise among SIMD lanes."""


@dataclass(frozen=True)
class TreeAttention:
    """Where a tree's nodes stand in its sentences.

    `sentences` are nodes, `(sentences, places)` each, those of similar length together, because one long sentence among
    short ones would double the work. `home (R,)` is a place at which each node occurs, counted through all of them.
    """

    sentences: tuple[Tensor, ...]
    home: Tensor

    @classmethod
    def of(cls, tree: PrefixTree, rows: int, device: torch.device) -> TreeAttention:
        """The attention of a tree's nodes and of fillings behind them, `rows` in all."""
        groups: dict[int, list[int]] = {}
        for row, path in enumerate(tree.paths):
            groups.setdefault(-(-len(path) // _DEPTH_STEP) * _DEPTH_STEP, []).append(row)
        sentences: list[Tensor] = []
        first: dict[int, int] = {}
        places = 0
        for depth, members in groups.items():
            padded = [tree.paths[row] + [0] * (depth - len(tree.paths[row])) for row in members]
            sentences.append(torch.tensor(padded, device=device))
            first |= {row: places + index * depth for index, row in enumerate(members)}
            places += len(members) * depth
        home = [first[row] + depth for row, depth in tree.home] + [0] * (rows - len(tree.home))
        return cls(tuple(sentences), torch.tensor(home, device=device))

    def at(self, nodes: Tensor) -> TreeAttention:
        """The same, of some nodes alone."""
        return replace(self, home=self.home.index_select(0, nodes))

    def __call__(self, qkv: Tensor, heads: int) -> Tensor:
        """Queries, keys and values `(R, 3 W)` of all nodes -> `(R, W)`, or the rows of the nodes asked for."""
        mixed = torch.cat([_attend(qkv, nodes, heads) for nodes in self.sentences])
        return mixed.index_select(0, self.home)


def _attend(qkv: Tensor, nodes: Tensor, heads: int) -> Tensor:
    """Attention within sentences of as many places each -> `(sentences · places, W)`."""
    gathered = qkv.index_select(0, nodes.flatten()).view(*nodes.shape, 3, heads, -1)
    q, k, v = gathered.permute(2, 0, 3, 1, 4)
    return F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(nodes.numel(), -1)
