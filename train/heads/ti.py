"""Token interaction (TI): every word meets every frame, and the best match of each counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional as F

from ..recipe import Architecture
from ..scorer import Dropout, FeatureShape, text_side
from ..words import parts
from .blocks import in_blocks
from .cdcr import Tokens, best_of, decorrelation
from .emcl import Moments
from .seqtransf import SeqTransf, Settings

if TYPE_CHECKING:
    from typing_extensions import Unpack


class TokenInteraction(SeqTransf):
    """Wang et al., arXiv 2203.07111; foolwood/DRL, `tvr/models/modeling.py`.

        S = cos(w, x)      sim = scale · (Σ_w a_w max over frames of S + Σ_x b_x max over words of S) / 2

    for the words `w` of a whole caption, as the text tower gave them, and the frames `x` after CLIP4Clip's temporal
    transformer (`seqtransf.py`). `a` and `b` are equal shares, 1 over the number of words and of frames.

    The published code multiplies `S` by the masks, so that a padded frame scores 0 and wins where all frames are
    negative; `padding="published"` does so too, by default padding never wins. Its own loss, for training, is the
    channel decorrelation of `cdcr.py`.

    It cannot start at zero-shot: a text tower is trained to match images by its last token alone, and what it gives at
    the others matches nothing before it has been taught to. A search takes `N · L · T · D` operations a query for `L`
    words and `T` frames, and an index must keep every video's frames.
    """

    def __init__(
        self,
        text_heads: Sequence[nn.Module],
        *,
        padding: str = "masked",
        **settings: Unpack[Settings],
    ) -> None:
        super().__init__(text_heads, **settings)
        self.padding = padding

    def word_shares(self, words: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """`a (…, L)` of words `(…, L, D)`."""
        return equal_shares(words, mask)

    def frame_shares(self, frames: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """`b (N, T)` of frames `(N, T, D)`."""
        return equal_shares(frames, mask)

    def encode_texts(self, texts: torch.Tensor, dropout: Dropout | None = None) -> torch.Tensor:
        """`(S, M, 1 + L, D + 1)`, see `with_words` -> normalised words, their shares and mask, `(S, M, L, D + 2)`."""
        _, words, mask = parts(texts)
        return _joined(words, self.word_shares(words, mask), mask)

    def encode_videos(self, frames: torch.Tensor, mask: torch.Tensor, dropout: Dropout | None = None) -> torch.Tensor:
        """`(N, T, D)` -> normalised frames, their shares and mask, `(1, N, T, D + 2)`: the streams share them."""
        encoded = self.encode_frames(frames, mask)
        return _joined(encoded, self.frame_shares(encoded, mask), mask).unsqueeze(0)

    def compare(
        self, texts: torch.Tensor, videos: torch.Tensor, mask: torch.Tensor, dropout: Dropout | None = None
    ) -> torch.Tensor:
        """`(S, M, L, D + 2)`, `(1, N, T, D + 2)` -> `sim (S, M, N)`, a block of pairs at a time."""
        words, frames = texts.flatten(0, 1), videos.squeeze(0)
        if self.emcl is not None:
            spread = self.emcl.fit(_moments(words) + _moments(frames))
            words, frames = _spread(words, spread), _spread(frames, spread)
        numbers = words.shape[1] * frames.shape[1]
        sim = in_blocks(partial(_interaction, self.padding), words, frames, mask, numbers=numbers)
        return self.logit_scale.exp() * sim.view(*texts.shape[:2], len(frames))

    def own_loss(
        self,
        texts: torch.Tensor,
        videos: torch.Tensor,
        mask: torch.Tensor,
        dropout: Dropout | None,
        loss_of: Callable[[torch.Tensor], torch.Tensor],
    ) -> torch.Tensor:
        """The channel decorrelation of every stream `(S,)`: words and frames of each text and its own video."""
        repeats = texts.shape[1] // videos.shape[1]
        frames = _tokens(videos.squeeze(0).repeat(repeats, 1, 1))
        return torch.stack([decorrelation(_tokens(stream), frames, padding=self.padding) for stream in texts])


def equal_shares(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """One over the number of those that are there."""
    return mask.to(values.dtype) / mask.sum(dim=-1, keepdim=True).clamp_min(1)


def _joined(values: torch.Tensor, shares: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    there = mask.to(values.dtype).unsqueeze(-1)
    return torch.cat([F.normalize(values, dim=-1), shares.unsqueeze(-1).to(values.dtype), there], dim=-1)


def _tokens(joined: torch.Tensor) -> Tokens:
    return Tokens(joined[..., :-2], joined[..., -2], joined[..., -1] > 0)


def _moments(joined: torch.Tensor) -> Moments:
    tokens = _tokens(joined)
    return Moments.of(tokens.values[tokens.mask])


def _spread(joined: torch.Tensor, spread: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    tokens = _tokens(joined)
    return _joined(spread(tokens.values), tokens.shares, tokens.mask)


def _interaction(
    padding: str, texts: torch.Tensor, videos: torch.Tensor, mask: torch.Tensor, keep: torch.Tensor | None
) -> torch.Tensor:
    words, frames = _tokens(texts), _tokens(videos)
    cosine = torch.einsum("mld,ntd->mnlt", words.values, frames.values)
    best_frame = best_of(cosine, frames.mask[None, :, None], padding).amax(dim=3)
    best_word = best_of(cosine, words.mask[:, None, :, None], padding).amax(dim=2)
    of_words = torch.einsum("mnl,ml->mn", best_frame, words.shares)
    return (of_words + torch.einsum("mnt,nt->mn", best_word, frames.shares)) / 2


def build(architecture: Architecture, shape: FeatureShape) -> TokenInteraction:
    """The head as it is trained."""
    return TokenInteraction(
        embed_dim=shape.embed_dim,
        max_frames=shape.max_frames,
        padding=architecture.padding,
        **text_side(architecture, shape, text_head="none"),
    )
