"""CLIP's text tower for a few sentences at a time, as a search needs it: the same numbers, sooner.

A sentence of ten tokens is bound by reading the weights, and by the cost of each call. So the weights are kept once
more in the order in which oneDNN reads them, activations are part of the products (`quick_gelu(x)` is
`silu(1.702 x) / 1.702`, and the two factors are in the weights), and the last layer is computed only where its output
is read. That rounds differently from `encode_tree`: cosines of the two differ by less than 1e-6 (a test).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .clip_encoder import ClipEncoder
from .encoder import Encoder
from .text_tower import PrefixTree, depth_of, pool, prefix_trees
from .tokens import TokenSequence

_ROW_STEP = 4
"""Products run over a multiple of so many rows, for each new number costs some preparation."""
_MOST_ROWS = 256
_MOST_SENTENCES = 64
_GELU = 1.702


class QueryTower:
    """The text tower of `encoder`; where its weights cannot be packed (a GPU, another precision, another family than
    OpenAI's), that itself."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder

    @torch.inference_mode()
    def encode_tokens(self, sequences: Sequence[TokenSequence]) -> Tensor:
        """Token sequences -> float32 `(U, D)` on the CPU, not normalised, in the given order."""
        encoder = self.encoder
        if not isinstance(encoder, ClipEncoder):
            at_once = min(len(sequences), _MOST_SENTENCES)
            return encoder.encode_tokens(sequences, rows=max(1, at_once) * encoder.tokens.framing.context)
        result = torch.empty(len(sequences), encoder.embed_dim)
        for tree in prefix_trees(sequences, _MOST_ROWS):
            rows = -(-len(tree.tokens) // _ROW_STEP) * _ROW_STEP
            if self._blocks:
                result[tree.members] = self._encode(encoder.model, tree, sequences, rows)
            else:
                chosen = [sequences[member] for member in tree.members]
                result[tree.members] = encoder.encode_tokens(chosen, rows=rows)
        return result

    def _encode(self, model: Any, tree: PrefixTree, sequences: Sequence[TokenSequence], rows: int) -> Tensor:
        """Embeddings `(B, D)` of the tree's members."""
        filling, depth = rows - len(tree.tokens), depth_of(tree)
        tokens, positions = (torch.tensor(each + [0] * filling) for each in (tree.tokens, tree.positions))
        paths = torch.tensor([path + [0] * (depth - len(path)) for path in tree.paths])
        home = torch.tensor([member * depth + place for member, place in tree.home] + [0] * filling)
        read = sorted({node for path, member in _members(tree) for node in _read(path, sequences[member])})

        x = F.embedding(tokens, model.token_embedding.weight) + model.positional_embedding[positions]
        for block in self._blocks[:-1]:
            x = block(x, paths, home, None)
        x = self._blocks[-1](x, paths, home, torch.tensor(read))
        outputs = model.ln_final(x) @ model.text_projection
        place = {node: row for row, node in enumerate(read)}
        return torch.stack(
            [
                pool(outputs, [place.get(node, -1) for node in path], sequences[member])
                for path, member in _members(tree)
            ]
        )

    @cached_property
    def _blocks(self) -> list[_Block]:
        encoder = self.encoder
        if not isinstance(encoder, ClipEncoder) or (encoder.device.type, encoder.precision) != ("cpu", "fp32"):
            return []
        if not _can_pack():
            return []
        return [_Block.of(block) for block in encoder.model.transformer.resblocks]


@dataclass(frozen=True)
class _Linear:
    """`W x + b`, with `W` in the order in which it is read, and `silu` of that if asked."""

    weight: Tensor
    bias: Tensor

    @classmethod
    def of(cls, weight: Tensor, bias: Tensor) -> _Linear:
        return cls(torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous(), 16), bias.detach())

    def __call__(self, x: Tensor, activation: str = "none") -> Tensor:
        found: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, activation, [], "")
        return found


@dataclass(frozen=True)
class _Block:
    """One residual block of CLIP's transformer."""

    norm_1: Any
    norm_2: Any
    heads: int
    query_key_value: _Linear
    out: _Linear
    hidden: _Linear
    hidden_out: _Linear

    @classmethod
    def of(cls, block: Any) -> _Block:
        attention, hidden, hidden_out = block.attn, block.mlp.c_fc, block.mlp.c_proj
        return cls(
            block.ln_1,
            block.ln_2,
            attention.num_heads,
            _Linear.of(attention.in_proj_weight, attention.in_proj_bias),
            _Linear.of(attention.out_proj.weight, attention.out_proj.bias),
            _Linear.of(_GELU * hidden.weight, _GELU * hidden.bias),
            _Linear.of(hidden_out.weight / _GELU, hidden_out.bias),
        )

    def __call__(self, x: Tensor, paths: Tensor, home: Tensor, read: Tensor | None) -> Tensor:
        """Nodes `x (R, W)`, and where they lie in sentences, as in `encode_tree` -> `(R, W)`, or those in `read`."""
        qkv = self.query_key_value(self.norm_1(x)).index_select(0, paths.flatten())
        q, k, v = qkv.view(*paths.shape, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(-1, x.shape[-1])
        if read is not None:
            x, home = x.index_select(0, read), home.index_select(0, read)
        x = self.out(mixed.index_select(0, home)).add_(x)
        return self.hidden_out(self.hidden(self.norm_2(x), "swish")).add_(x)


def _members(tree: PrefixTree) -> list[tuple[list[int], int]]:
    return list(zip(tree.paths, tree.members, strict=True))


def _read(path: list[int], sequence: TokenSequence) -> list[int]:
    """The nodes whose output makes the embedding."""
    return [path[-1]] if sequence.pooled is None else [path[place] for place in sequence.pooled]


def _can_pack() -> bool:
    """Whether this build of PyTorch has oneDNN's packed products, and they work on this machine."""
    try:
        weight, x = torch.eye(8), torch.ones(2, 8)
        return torch.equal(_Linear.of(weight, torch.zeros(8))(x), x)
    except (AttributeError, RuntimeError):
        return False
