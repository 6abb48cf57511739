"""Word tokens: for models that compare words, not only whole sentences, with frames."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch.nn import functional as F

from ..pipeline.store import FeatureStore
from ..pipeline.store.stored import StoredWords
from .kept import HeldPieces, Kept
from .names import DEVICE, DISK


@dataclass(frozen=True)
class WordTokens:
    """The text tower's output at every token of `U` distinct whole captions, one caption below the other.

    `values (K, D)` are float16 as the encoder gave them: 2·K·D bytes on the device (1 kB a token where D is 512).
    Caption `u` has the rows `offsets[u]` to `offsets[u + 1]`, the start token's first and the end token's, which is the
    sentence's embedding, last; `row (M,)` is each caption's `u`. Unless `raw`, `padded` normalises what it gives.
    `longest` is how many tokens the longest caption of the store has. Where `values` are kept elsewhere, those of the
    captions asked for are fetched.
    """

    values: torch.Tensor | Kept
    offsets: torch.Tensor
    row: torch.Tensor
    longest: int
    raw: bool = False

    def padded(self, captions: torch.Tensor, length: int | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Words `(…, L, D)` float32 and mask `(…, L)` of captions `(…)`, by their rows among the `M`.

        Valid tokens come first; words are zero where the mask is false. `L` is the length of the longest of these
        captions, or `length` for models that fix it, which must not be less: raises `ValueError`.
        """
        rows = self.row[captions]
        if isinstance(self.values, Kept):
            alone = self._fetched(self.values, rows.flatten())
            return alone.padded(torch.arange(rows.numel(), device=rows.device).view(rows.shape), length)
        start = self.offsets[rows]
        count = self.offsets[rows + 1] - start
        needed = int(count.max()) if count.numel() else 0
        if length is not None and length < needed:
            raise ValueError(f"a caption has {needed} tokens and room for {length}")
        place = torch.arange(needed if length is None else length, device=captions.device)
        mask = place < count.unsqueeze(-1)
        found = self.values[(start.unsqueeze(-1) + place).where(mask, start.unsqueeze(-1))].float()
        if not self.raw:
            found = F.normalize(found, dim=-1)
        return found * mask.unsqueeze(-1), mask

    def _fetched(self, kept: Kept, rows: torch.Tensor) -> WordTokens:
        """Those of the captions `rows` alone."""
        used = rows.unique()
        counts = self.offsets[used + 1] - self.offsets[used]
        values = torch.from_numpy(kept.rows[used.cpu().numpy()]).to(kept.device)
        offsets = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        return replace(self, values=values, offsets=offsets, row=torch.searchsorted(used, rows))


def load_words(store: FeatureStore, device: torch.device, *, raw: bool = False, resident: str = DEVICE) -> WordTokens:
    """The word tokens of all captions, on the device or where `resident` says.

    Raises `StoreError` naming the command that adds them.
    """
    tokens = store.word_tokens
    if resident == DISK:
        values: torch.Tensor | Kept = Kept(StoredWords(store), device, raw=True)
    elif resident == DEVICE:
        values = torch.from_numpy(tokens.values()).to(device)
    else:
        values = Kept(HeldPieces(tokens.values(), tokens.offsets), device, raw=True)
    return WordTokens(
        values=values,
        offsets=torch.from_numpy(tokens.offsets).to(device),
        row=torch.from_numpy(tokens.row).to(device),
        longest=tokens.longest,
        raw=raw,
    )


def with_words(sentences: torch.Tensor, words: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Sentences `(…, M, D)` and the words `(M, L, D)` of all of them, `mask (M, L)` -> `(…, M, 1 + L, D + 1)`.

    One tensor, so that a model which reads words gets its texts as any other does: row 0 is the sentence, then come its
    words; the last column is 1 for a word that is there and 0 for padding.
    """
    shape = (*sentences.shape[:-1], *words.shape[-2:])
    values = torch.cat([sentences.unsqueeze(-2), words.expand(shape)], dim=-2)
    there = torch.cat([torch.ones_like(mask[:, :1]), mask], dim=1).to(values.dtype)
    return torch.cat([values, there.expand(values.shape[:-1]).unsqueeze(-1)], dim=-1)


def parts(texts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """`(…, 1 + L, D + 1)` -> sentences `(…, D)`, words `(…, L, D)` and their mask `(…, L)`."""
    return texts[..., 0, :-1], texts[..., 1:, :-1], texts[..., 1:, -1] > 0
