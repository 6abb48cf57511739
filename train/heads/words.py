"""Sentences with their words, as one tensor: what the heads that read words get for texts.

A text is `(1 + L, D + 1)`: row 0 the sentence, then its words as the text tower gave them, at most `L`; the last
column is 1 for a word that is there and 0 for padding.
"""

from __future__ import annotations

import torch


def with_words(sentences: torch.Tensor, words: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Sentences `(…, M, D)` and the words `(M, L, D)` of all of them, `mask (M, L)` -> `(…, M, 1 + L, D + 1)`."""
    shape = (*sentences.shape[:-1], *words.shape[-2:])
    values = torch.cat([sentences.unsqueeze(-2), words.expand(shape)], dim=-2)
    there = torch.cat([torch.ones_like(mask[:, :1]), mask], dim=1).to(values.dtype)
    return torch.cat([values, there.expand(values.shape[:-1]).unsqueeze(-1)], dim=-1)


def parts(texts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """`(…, 1 + L, D + 1)` -> sentences `(…, D)`, words `(…, L, D)` and their mask `(…, L)`."""
    return texts[..., 0, :-1], texts[..., 1:, :-1], texts[..., 1:, -1] > 0
