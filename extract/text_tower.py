"""CLIP's text tower, each distinct beginning of a sentence computed once.

The tower is causal: the output at a token depends on the tokens before it alone. So what follows the end token is not
computed, and sentences that begin alike share the work on what they have in common. Everything but the attention itself
runs over the nodes of a prefix tree. Behind the last attention, only the nodes that are read are computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from .prefix_tree import PrefixTree, prefix_trees
from .text_blocks import Block
from .tokens import TokenSequence
from .tree_attention import TreeAttention


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
            result[tree.members] = self._embeddings(tree, sequences, rows).cpu()
            if on_batch is not None:
                on_batch(len(tree.members))
        return result

    @torch.inference_mode()
    def words(self, sequences: Sequence[TokenSequence]) -> Iterator[tuple[int, Tensor]]:
        """As `Encoder.encode_words`: from the start token to the end token."""
        for tree in prefix_trees(sequences, self.rows):
            outputs = self._outputs(tree, self.rows, range(len(tree.tokens))).cpu()
            for member, path in zip(tree.members, tree.paths, strict=True):
                yield member, outputs[path]

    def _embeddings(self, tree: PrefixTree, sequences: Sequence[TokenSequence], rows: int) -> Tensor:
        """Embeddings `(B, D)` of the tree's members: the end token's output, or the mean of the pooled ones; projected
        before, since a projection is linear."""
        pooled = [_pooled(path, sequences[member]) for path, member in zip(tree.paths, tree.members, strict=True)]
        read = sorted({node for nodes in pooled for node in nodes})
        row_of = {node: row for row, node in enumerate(read)}
        outputs = self._outputs(tree, rows, read)
        return torch.stack([_mean(outputs, [row_of[node] for node in nodes]) for nodes in pooled])

    def _outputs(self, tree: PrefixTree, rows: int, read: Sequence[int]) -> Tensor:
        """The projected outputs `(len(read), D)` float32 at some of the tree's nodes.

        Products run over `rows` rows, whatever the tree's size, and behind the last attention over a quarter of them at
        a time, because those of other sizes round differently: a sequence has the same embedding, to the bit, in any
        company.
        """
        model, few = self.model, max(1, rows // 4)
        device = model.token_embedding.weight.device
        filling = [0] * (rows - len(tree.tokens))
        tokens, positions = (torch.tensor(each + filling, device=device) for each in (tree.tokens, tree.positions))
        nodes = torch.tensor([*read, *[0] * (-len(read) % few)], device=device)
        attention = TreeAttention.of(tree, rows, device)

        x = (model.token_embedding(tokens) + model.positional_embedding[positions]).float()
        *blocks, last = self._blocks
        for block in blocks:
            x = block.after(x, attention(block.before(x), block.heads))
        mixed = attention.at(nodes)(last.before(x), last.heads)
        parts = zip(x.index_select(0, nodes).split(few), mixed.split(few), strict=True)
        return torch.cat([self._project(last.after(*part)) for part in parts])[: len(read)]

    def _project(self, x: Tensor) -> Tensor:
        projected: Tensor = self.model.ln_final(x).to(self.model.dtype) @ self.model.text_projection
        return projected.float()

    @cached_property
    def _blocks(self) -> list[Block]:
        return [Block(block) for block in self.model.transformer.resblocks]


def _pooled(path: list[int], sequence: TokenSequence) -> list[int]:
    """The nodes whose output makes the embedding."""
    return path[-1:] if sequence.pooled is None else [path[place] for place in sequence.pooled]


def _mean(outputs: Tensor, rows: list[int]) -> Tensor:
    return outputs[rows[0]] if len(rows) == 1 else outputs[rows].mean(0)
