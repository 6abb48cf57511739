"""X-CLIP: sentence and words against video and frames, each by attention over the similarities themselves (AOSM)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional as F

from ..aggregators import masked_mean
from ..recipe import Architecture
from ..scorer import Dropout, FeatureShape, text_side
from ..words import parts
from .blocks import in_blocks
from .emcl import Moments
from .pooled import masked_softmax
from .seqtransf import SeqTransf, Settings

if TYPE_CHECKING:
    from typing_extensions import Unpack

TEMPERATURE = 0.01


class XCLIP(SeqTransf):
    """Ma et al., arXiv 2207.07285; xuguohai/X-CLIP, `modules/modeling_xclip.py`.

        sentence-video  t G v           sentence-frame  R_f(t f; Mf)           word-video  R_w(w v; Mw)
        word-frame      g = w L f       ½ R_f(R_w(g; P1w); P2f) + ½ R_w(R_f(g; P1f); P2w)
        R(x; M) = Σ (softmax(x / 0.01) M) x       sim = scale · mean of the four

    with everything normalised: sentence `t`, words `w`, video `v` (the mean of the frames after CLIP4Clip's temporal
    transformer), frames `f` as they were before it. The weights pass the matrix after the softmax, and are not
    normalised again. Matrices fix the number of words and frames, here the longest caption's and the store's; shorter
    ones use their part.

    The published code lets padded words and frames take part in every softmax; `padding="published"` does so too, by
    default they are masked. All matrices start as identities: the first term is then nearly zero-shot, but the whole is
    not, because words other than the last match nothing before they are taught (`ti.py`).

    A search takes `N · L · T · D` operations a query for `L` words and `T` frames, and an index must keep every video's
    frames.
    """

    def __init__(
        self,
        text_heads: Sequence[nn.Module],
        *,
        max_words: int,
        padding: str = "masked",
        temperature: float = TEMPERATURE,
        **settings: Unpack[Settings],
    ) -> None:
        super().__init__(text_heads, **settings)
        embed_dim, max_frames = settings["embed_dim"], settings["max_frames"]
        self.padding, self.temperature = padding, temperature
        self.global_mat_weight, self.local_mat_weight = _identity(embed_dim), _identity(embed_dim)
        self.word_logit_weight, self.frame_logit_weight = _identity(max_words), _identity(max_frames)
        self.word_mat_weight, self.frame_mat_weight = _identity(max_words), _identity(max_frames)
        self.word_mat_weight2, self.frame_mat_weight2 = _identity(max_words), _identity(max_frames)

    def encode_texts(self, texts: torch.Tensor, dropout: Dropout | None = None) -> torch.Tensor:
        """`(S, M, 1 + L, D + 1)`, see `with_words` -> the same, sentence and words normalised."""
        return torch.cat([F.normalize(texts[..., :-1], dim=-1), texts[..., -1:]], dim=-1)

    def encode_videos(self, frames: torch.Tensor, mask: torch.Tensor, dropout: Dropout | None = None) -> torch.Tensor:
        """`(N, T, D)` -> the video, then its frames, normalised: `(1, N, 1 + T, D)`; the streams share them."""
        pooled = masked_mean(F.normalize(self.encode_frames(frames, mask), dim=-1), mask)
        return F.normalize(torch.cat([pooled.unsqueeze(1), frames], dim=1), dim=-1).unsqueeze(0)

    def compare(
        self, texts: torch.Tensor, videos: torch.Tensor, mask: torch.Tensor, dropout: Dropout | None = None
    ) -> torch.Tensor:
        """`(S, M, 1 + L, D + 1)`, `(1, N, 1 + T, D)` -> `sim (S, M, N)`, a block of pairs at a time."""
        readings, gallery = texts.flatten(0, 1), videos.squeeze(0)
        if self.emcl is not None:
            readings, gallery = self._spread(readings, gallery, mask)

        def mean(texts: torch.Tensor, videos: torch.Tensor, mask: torch.Tensor, _: torch.Tensor | None) -> torch.Tensor:
            return torch.stack(self.terms(texts, videos, mask)).mean(dim=0)

        sim = in_blocks(mean, readings, gallery, mask, numbers=readings.shape[1] * gallery.shape[1])
        return self.logit_scale.exp() * sim.view(*texts.shape[:2], len(gallery))

    def terms(self, texts: torch.Tensor, videos: torch.Tensor, mask: torch.Tensor) -> list[torch.Tensor]:
        """Sentence-video, sentence-frame, word-video and word-frame, `(m, n)` each."""
        sentence, word, is_word = parts(texts)
        video, frame = videos[:, 0], videos[:, 1:]
        words, frames = is_word[:, None], mask[None]  # of (m, n, L) and (m, n, T)
        sentence_frame = torch.einsum("md,ntd->mnt", sentence, frame)
        word_video = torch.einsum("mld,nd->mnl", word, video)
        word_frame = torch.einsum("mld,ntd->mnlt", word @ self.local_mat_weight, frame)
        by_word = self._reduced(word_frame, words.unsqueeze(-1), self.word_mat_weight, dim=2)
        by_frame = self._reduced(word_frame, frames.unsqueeze(2), self.frame_mat_weight, dim=3)
        both = self._reduced(by_word, frames, self.frame_mat_weight2)
        both = both + self._reduced(by_frame, words, self.word_mat_weight2)
        return [
            sentence @ self.global_mat_weight @ video.T,
            self._reduced(sentence_frame, frames, self.frame_logit_weight),
            self._reduced(word_video, words, self.word_logit_weight),
            both / 2,
        ]

    def _reduced(
        self, scores: torch.Tensor, mask: torch.Tensor, matrix: torch.Tensor, *, dim: int = -1
    ) -> torch.Tensor:
        """`R`: a dimension of scores, weighted by their own softmax through `matrix`, summed up."""
        shares = masked_softmax(scores / self.temperature, mask, self.padding, dim)
        size = scores.shape[dim]
        weights = (shares.transpose(dim, -1) @ matrix[:size, :size]).transpose(dim, -1)
        if self.padding == "masked":
            weights = weights * mask
        return (weights * scores).sum(dim=dim)

    def _spread(
        self, texts: torch.Tensor, videos: torch.Tensor, mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """EMCL over all sentences, words, videos and frames."""
        assert self.emcl is not None
        there = torch.cat([torch.ones_like(mask[:, :1]), mask], dim=1)
        moments = Moments.of(texts[..., :-1][texts[..., -1] > 0]) + Moments.of(videos[there])
        spread: Callable[[torch.Tensor], torch.Tensor] = self.emcl.fit(moments)
        readings = torch.cat([F.normalize(spread(texts[..., :-1]), dim=-1), texts[..., -1:]], dim=-1)
        return readings, F.normalize(spread(videos), dim=-1)


def _identity(size: int) -> nn.Parameter:
    return nn.Parameter(torch.eye(size))


def build(architecture: Architecture, shape: FeatureShape) -> XCLIP:
    """The head as it is trained."""
    return XCLIP(
        embed_dim=shape.embed_dim,
        max_frames=shape.max_frames,
        max_words=shape.max_words,
        padding=architecture.padding,
        **text_side(architecture, shape, text_head="none"),
    )
