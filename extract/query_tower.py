"""A text tower for a few sentences at a time, as a search needs it: the same numbers, sooner.

A sentence of ten tokens is bound by reading the weights, so no more rows are computed than it has tokens. That rounds
differently from the rows of a store: cosines of the two differ by less than 1e-6 in fp32 (a test).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .clip_encoder import ClipEncoder
from .encoder import Encoder
from .prefix_tree import prefix_trees
from .tokens import TokenSequence

_ROW_STEP = 4
"""Products run over a multiple of so many rows, for each new number costs some preparation."""
_MOST_ROWS = 256
_MOST_SENTENCES = 64


class QueryTower:
    """The text tower of `encoder`, over as many rows as the sentences need."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder

    def encode_tokens(self, sequences: Sequence[TokenSequence]) -> Tensor:
        """Token sequences -> float32 `(U, D)` on the CPU, not normalised, in the given order."""
        encoder = self.encoder
        if not isinstance(encoder, ClipEncoder):
            at_once = min(len(sequences), _MOST_SENTENCES)
            return encoder.encode_tokens(sequences, rows=max(1, at_once) * encoder.tokens.framing.context)
        result = torch.empty(len(sequences), encoder.embed_dim)
        for tree in prefix_trees(sequences, _MOST_ROWS):
            rows = -(-len(tree.tokens) // _ROW_STEP) * _ROW_STEP
            result[tree.members] = encoder.encode_tokens([sequences[member] for member in tree.members], rows=rows)
        return result
