"""What stage 1 asks of a model: frames and token sequences in, embeddings of one space out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from .clip_weights import Weights
from .resize import CLIP_RESIZE, Resize
from .strategies import read_whole
from .text_tokens import Tokens
from .tokens import TokenSequence


class Encoder(Protocol):
    """A frozen model in inference mode; a class that inherits this has `encode_texts` for nothing.

    `weights` tell it from others. `resolution` is the side of the frames it takes, in pixels, and `resize` how a
    picture comes to it; normalising is the encoder's own work. `embed_dim` is D. `logit_scale` multiplies the cosines
    of its frames and texts (100.0 for OpenAI's models), and `logit_bias` is what is then added, if anything. `tokens`
    is its tokenizer, `precision` what it runs in, `batch_size` how many frames at once suit its device. `packages` are
    those whose versions a store of it tells.
    """

    weights: Weights
    device: torch.device
    precision: str
    batch_size: int
    resolution: int
    resize: Resize = CLIP_RESIZE
    embed_dim: int
    logit_scale: float
    logit_bias: float | None = None
    tokens: Tokens
    packages: tuple[str, ...] = ()

    def encode_frames(self, frames: np.ndarray | Tensor) -> Tensor:
        """Frames `(B, H, W, 3)` uint8 RGB of its own resolution -> float32 `(B, D)` on the CPU, not normalised."""
        ...

    def encode_tokens(
        self,
        sequences: Sequence[TokenSequence],
        on_batch: Callable[[int], None] | None = None,
        *,
        rows: int | None = None,
    ) -> Tensor:
        """Token sequences -> float32 `(U, D)` on the CPU, not normalised, in the given order.

        A sequence has the same embedding in any company, for the same `rows`: how many tokens are computed at once,
        at least those of the longest sequence; none is what fills the device, fewer is faster for a few sequences.
        `on_batch` is told the number of sequences of each batch done.
        """
        ...

    def encode_words(self, sequences: Sequence[TokenSequence]) -> Iterator[tuple[int, Tensor]]:
        """The output at every token: each sequence's place and its float32 `(L, D)` on the CPU, as they are computed.

        Projected, not normalised; the last is what `encode_tokens` gives, and like there it is the same in any company.
        """
        ...

    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        """Whole sentences -> float32 `(B, D)`, not normalised; each distinct one is encoded once.

        Texts beyond the context length are truncated, as the model's own tokenizer does it.
        """
        sequences = [read_whole(text, self.tokens) for text in texts]
        distinct = list(dict.fromkeys(sequences))
        place = {sequence: index for index, sequence in enumerate(distinct)}
        return self.encode_tokens(distinct)[[place[sequence] for sequence in sequences]]
