"""CLIP's text tower, each distinct beginning of a sentence computed once.

The tower is causal: the output at a token depends on the tokens before it alone. So what follows the end token is not
computed, and sentences that begin alike ("a man is …") share the work on what they have in common. Everything but the
attention itself runs over the nodes of a prefix tree; attention runs over whole sentences gathered from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .tokens import TokenSequence

_DEPTH_STEP = 16
"""Attention runs over a multiple of this many places: sums over other lengths are split otherwise among SIMD lanes."""


@dataclass
class PrefixTree:
    """Some sequences as the nodes of their beginnings.

    `tokens` and `positions` describe the nodes; `paths` gives the nodes of each sequence, first to last, and `home`
    a place (sequence, depth) at which each node occurs.
    """

    tokens: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    paths: list[list[int]] = field(default_factory=list)
    home: list[tuple[int, int]] = field(default_factory=list)
    members: list[int] = field(default_factory=list)
    """Which of the given sequences these are."""

    def shared(self, sequence: TokenSequence, last: TokenSequence | None) -> int:
        """How many nodes `sequence` has in common with the one added last."""
        if last is None or not self.paths:
            return 0
        pairs = zip(sequence.tokens, sequence.positions, last.tokens, last.positions, strict=False)
        for depth, (token, position, old_token, old_position) in enumerate(pairs):
            if token != old_token or position != old_position:
                return depth
        return min(len(sequence.tokens), len(last.tokens))

    def add(self, member: int, sequence: TokenSequence, shared: int) -> None:
        """Add one sequence whose first `shared` nodes are those of the one before."""
        path = self.paths[-1][:shared] if shared else []
        for depth in range(shared, len(sequence.tokens)):
            path.append(len(self.tokens))
            self.home.append((len(self.paths), depth))
            self.tokens.append(sequence.tokens[depth])
            self.positions.append(sequence.positions[depth])
        self.paths.append(path)
        self.members.append(member)


def prefix_trees(sequences: Sequence[TokenSequence], max_nodes: int) -> Iterator[PrefixTree]:
    """Trees of at most `max_nodes` nodes that together hold all sequences, similar ones side by side."""
    order = sorted(range(len(sequences)), key=lambda member: _sort_key(sequences[member]))
    tree, last = PrefixTree(), None
    for member in order:
        sequence = sequences[member]
        shared = tree.shared(sequence, last)
        if tree.paths and len(tree.tokens) + len(sequence.tokens) - shared > max_nodes:
            yield tree
            tree, shared = PrefixTree(), 0
        tree.add(member, sequence, shared)
        last = sequence
    if tree.paths:
        yield tree


def _sort_key(sequence: TokenSequence) -> list[tuple[int, int]]:
    return list(zip(sequence.tokens, sequence.positions, strict=True))


def depth_of(tree: PrefixTree) -> int:
    """Over how many places attention runs."""
    return -(-max(map(len, tree.paths)) // _DEPTH_STEP) * _DEPTH_STEP


def encode_tree(model: Any, tree: PrefixTree, sequences: Sequence[TokenSequence], rows: int) -> Tensor:
    """Embeddings `(B, D)` of the tree's members, not normalised; `model` is CLIP, `rows` as in `tree_outputs`."""
    outputs = tree_outputs(model, tree, rows)
    return torch.stack(
        [pool(outputs, path, sequences[member]) for path, member in zip(tree.paths, tree.members, strict=True)]
    )


def tree_outputs(model: Any, tree: PrefixTree, rows: int) -> Tensor:
    """The projected outputs `(rows, D)` float32 at the tree's nodes, those of fillings behind them.

    The products run over `rows` rows, whatever the tree's size, because those of other sizes round differently: a
    sequence has the same embedding, to the bit, in any company.
    """
    device = model.token_embedding.weight.device
    filling = rows - len(tree.tokens)
    tokens = torch.tensor(tree.tokens + [0] * filling, device=device)
    positions = torch.tensor(tree.positions + [0] * filling, device=device)
    depth = depth_of(tree)
    paths = torch.tensor([path + [0] * (depth - len(path)) for path in tree.paths], device=device)
    home = torch.tensor([member * depth + place for member, place in tree.home] + [0] * filling, device=device)

    x = (model.token_embedding(tokens) + model.positional_embedding[positions]).to(model.dtype)
    for block in model.transformer.resblocks:
        attention = block.attn
        qkv = F.linear(block.ln_1(x), attention.in_proj_weight, attention.in_proj_bias)
        q, k, v = qkv[paths].unflatten(-1, (3, attention.num_heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(-1, x.shape[-1])
        x = x + F.linear(mixed[home], attention.out_proj.weight, attention.out_proj.bias)
        x = x + block.mlp(block.ln_2(x))
    outputs: Tensor = (model.ln_final(x).to(model.dtype) @ model.text_projection).float()
    return outputs


def pool(outputs: Tensor, path: list[int], sequence: TokenSequence) -> Tensor:
    """The end token's output, or the mean of the pooled ones; projected before, since a projection is linear."""
    return outputs[path[-1]] if sequence.pooled is None else outputs[[path[place] for place in sequence.pooled]].mean(0)


class CausalTower:
    """Token sequences through a causal tower; `model` has its parts by the names of OpenAI's CLIP.

    `rows` tokens are computed at once where a call does not say how many.
    """

    def __init__(self, model: Any, rows: int) -> None:
        self.model, self.rows = model, rows

    @torch.inference_mode()
    def encode(
        self, sequences: Sequence[TokenSequence], on_batch: Callable[[int], None] | None, rows: int | None
    ) -> Tensor:
        """As `Encoder.encode_tokens`."""
        result = torch.empty(len(sequences), self.model.text_projection.shape[1])
        rows = rows or self.rows
        for tree in prefix_trees(sequences, rows):
            result[tree.members] = encode_tree(self.model, tree, sequences, rows).float().cpu()
            if on_batch is not None:
                on_batch(len(tree.members))
        return result

    @torch.inference_mode()
    def words(self, sequences: Sequence[TokenSequence]) -> Iterator[tuple[int, Tensor]]:
        """As `Encoder.encode_words`: from the start token to the end token."""
        for tree in prefix_trees(sequences, self.rows):
            outputs = tree_outputs(self.model, tree, self.rows).cpu()
            for member, path in zip(tree.members, tree.paths, strict=True):
                yield member, outputs[path]
