"""DRL's channel decorrelation, a further loss in training: a channel of words and frames matches itself and no other.

Wang et al., arXiv 2203.07111; foolwood/DRL, `tvr/models/modeling.py`. Rows are pairs of a word and a frame, `z` is a
side standardised over the rows (unbiased deviation):

    C = 1/B Σ_rows weight z(w)ᵀ z(f) (D, D)      loss = α₁ Σ (1 - C_ii)² + α₂ Σ_{i≠j} C_ij²

The published recipe for MSR-VTT has α₁ = 0.11 and α₂ = 0, that is, nothing is decorrelated; the code's defaults are 1
and 0.06.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

ALPHA1, ALPHA2 = 0.11, 0.0


@dataclass(frozen=True)
class Tokens:
    """Words or frames: `values (B, L, D)` normalised, `shares (B, L)` zero in padding, `mask (B, L)`."""

    values: torch.Tensor
    shares: torch.Tensor
    mask: torch.Tensor


def decorrelation(
    words: Tokens,
    frames: Tokens,
    *,
    alpha1: float = ALPHA1,
    alpha2: float = ALPHA2,
    weighted: bool = True,
    padding: str = "masked",
) -> torch.Tensor:
    """Every word beside the frame of its OWN video that it matches best, every frame beside its best word; the mean.

    Weighted by `shares` and divided by `B` (`cdcr 3` of the code, its default) or plain means (`cdcr 2`). The published
    code lets a padded frame be the best (it counts as 0): `padding="published"`.
    """
    cosine = words.values @ frames.values.mT

    def correlation(side: Tokens, other: Tokens, match: torch.Tensor) -> torch.Tensor:
        best = best_of(match, other.mask[:, None], padding).argmax(dim=2)
        partner = other.values.gather(1, best.unsqueeze(-1).expand(*best.shape, other.values.shape[-1]))
        rows, partners = side.values[side.mask], partner[side.mask]
        if not weighted:
            return correlated(rows, partners) / len(rows)
        return correlated(rows, partners, side.shares[side.mask]) / len(side.values)

    by_words = correlation(words, frames, cosine)
    by_frames = correlation(frames, words, cosine.mT)
    return channel_loss((by_words + by_frames) / 2, alpha1=alpha1, alpha2=alpha2)


def best_of(scores: torch.Tensor, mask: torch.Tensor, padding: str) -> torch.Tensor:
    """Scores among which the best is sought: padding is never it, or with `padding="published"` counts as 0."""
    if padding == "published":
        return scores * mask
    return scores.masked_fill(~mask, torch.finfo(scores.dtype).min)


def correlated(rows: torch.Tensor, partners: torch.Tensor, weight: torch.Tensor | None = None) -> torch.Tensor:
    """`Σ weight z(row)ᵀ z(partner) (D, D)` of rows and partners `(R, D)`."""
    own = _standardised(rows)
    return (own if weight is None else own * weight.unsqueeze(-1)).T @ _standardised(partners)


def channel_loss(correlation: torch.Tensor, *, alpha1: float, alpha2: float) -> torch.Tensor:
    """`α₁ Σ (1 - C_ii)² + α₂ Σ_{i≠j} C_ij²`."""
    own = correlation.diagonal()
    return alpha1 * (1 - own).square().sum() + alpha2 * (correlation.square().sum() - own.square().sum())


def _standardised(values: torch.Tensor) -> torch.Tensor:
    variance = values.var(dim=0).clamp_min(torch.finfo(values.dtype).tiny)
    return (values - values.mean(dim=0)) / variance.sqrt()
