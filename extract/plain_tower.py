"""An open_clip text tower by its own code, padding and all: for towers that see what comes after a token.

What a sequence leaves out is closed to attention, by hooks before the tower's transformer; what it gives at every token
is taken by a hook behind it. Nothing else is touched, so any tower pools and projects as it was trained to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

import torch
from torch import Tensor, nn

from .text_tokens import Framing
from .tokens import TokenSequence


class PlainTower:
    """The text tower of `model`, whose tokenizer frames and pads by `framing`; `batch` sequences at once, `width` is D.

    Batches are always full, so a sequence has the same embedding in any company.
    """

    def __init__(self, model: Any, framing: Framing, device: torch.device, *, width: int, batch: int) -> None:
        self.model, self.framing, self.device, self.width, self.batch = model, framing, device, width, batch
        self.text = getattr(model, "text", model)
        self._lock = Lock()
        self._open: Tensor | None = None
        self._outputs = torch.empty(0)
        self.text.transformer.register_forward_pre_hook(self._close, with_kwargs=True)
        self.text.transformer.register_forward_hook(self._keep)
        if self._is_hugging_face:
            self.text.pooler.register_forward_pre_hook(self._close_pooling)

    @torch.inference_mode()
    def encode(
        self, sequences: Sequence[TokenSequence], on_batch: Callable[[int], None] | None, rows: int | None
    ) -> Tensor:
        """As `Encoder.encode_tokens`."""
        found = torch.empty(len(sequences), self.width)
        for members, result in self._batches(sequences, rows):
            for row, member in enumerate(members):
                pooled = sequences[member].pooled
                found[member] = result.embedding[row] if pooled is None else self._mean(result, row, pooled)
            if on_batch is not None:
                on_batch(len(members))
        return found

    @torch.inference_mode()
    def words(self, sequences: Sequence[TokenSequence]) -> Iterator[tuple[int, Tensor]]:
        """As `Encoder.encode_words`; in the last token's place stands the embedding, which may come from elsewhere."""
        for members, result in self._batches(sequences, None):
            for row, member in enumerate(members):
                places = list(sequences[member].positions[:-1])
                words = self._projected(self._normed(result.outputs[row, places]))
                yield member, torch.cat([words, result.embedding[row : row + 1]])

    def _mean(self, result: _Result, row: int, pooled: tuple[int, ...]) -> Tensor:
        """Of what is pooled no place is left out, so tokens stand at their positions."""
        return self._projected(self._normed(result.outputs[row, list(pooled)]).mean(dim=0, keepdim=True))[0]

    def _batches(self, sequences: Sequence[TokenSequence], rows: int | None) -> Iterator[tuple[list[int], _Result]]:
        """The places of some sequences, and what the tower makes of them; those with gaps by themselves."""
        size = self.batch if rows is None else max(1, rows // self.framing.context)
        for gaps in (False, True):
            chosen = [place for place, sequence in enumerate(sequences) if _has_gaps(sequence) is gaps]
            for start in range(0, len(chosen), size):
                members = chosen[start : start + size]
                filled = members + members[:1] * (size - len(members))
                yield members, self._run([sequences[member] for member in filled], gaps=gaps)

    def _run(self, sequences: Sequence[TokenSequence], *, gaps: bool) -> _Result:
        ids = torch.tensor([self._row(sequence) for sequence in sequences])
        with self._lock:
            if gaps:
                self._open = torch.tensor([self._is_open(sequence) for sequence in sequences], device=self.device)
            try:
                embedding = self.model.encode_text(ids.to(self.device), normalize=False).float().cpu()
                return _Result(embedding, self._outputs)
            finally:
                self._open, self._outputs = None, torch.empty(0)

    def _row(self, sequence: TokenSequence) -> list[int]:
        """All ids, as the tokenizer would give them; where a token is left out stands the filler, which nobody sees."""
        end = sequence.positions[-1] + 1
        row = [self.framing.filler] * end + [self.framing.pad] * (self.framing.context - end)
        for token, position in zip(sequence.tokens, sequence.positions, strict=True):
            row[position] = token
        return row

    def _is_open(self, sequence: TokenSequence) -> list[bool]:
        """Places that attention is paid to: the sequence's own, and the padding, of which the tower knows itself."""
        kept = {*sequence.positions, *range(sequence.positions[-1], self.framing.context)}
        return [place in kept for place in range(self.framing.context)]

    # -- hooks

    @property
    def _is_hugging_face(self) -> bool:
        return hasattr(self.text, "pooler")

    def _close(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self._open is None:
            return None
        if self._is_hugging_face:
            return args, kwargs | {"attention_mask": kwargs["attention_mask"] * self._open}
        return args, kwargs | {"attn_mask": self._closed(args[0], kwargs.get("attn_mask"), self._open)}

    def _close_pooling(self, module: nn.Module, args: tuple[Any, Tensor]) -> Any:
        return None if self._open is None else (args[0], args[1] * self._open)

    def _closed(self, x: Tensor, mask: Tensor | None, is_open: Tensor) -> Tensor:
        """The tower's own additive mask for `x (B, L, W)`, and closed places, which see themselves alone: one row of
        nothing but closed keys would be no numbers. `(B · heads, L, L)`"""
        length, heads = x.shape[1], self.text.transformer.resblocks[0].attn.num_heads
        seen = nn.functional.pad(is_open, (0, length - is_open.shape[1]), value=True)  # CoCa adds a token behind
        shut = ~seen[:, None, :] & ~torch.eye(length, dtype=torch.bool, device=x.device)
        own = torch.zeros(shut.shape, dtype=x.dtype, device=x.device).masked_fill_(shut, -torch.inf)
        own = own.repeat_interleave(heads, 0)
        return own if mask is None else own + mask

    def _keep(self, module: nn.Module, args: tuple[Any, ...], outputs: Any) -> None:
        self._outputs = outputs.last_hidden_state if self._is_hugging_face else outputs

    def _normed(self, outputs: Tensor) -> Tensor:
        """The transformer's outputs `(L, W)` as they are pooled."""
        normed: Tensor = outputs if self._is_hugging_face else self.text.ln_final(outputs)
        return normed

    def _projected(self, outputs: Tensor) -> Tensor:
        """`(L, W)` -> `(L, D)` float32 on the CPU."""
        projection = self.text.proj if self._is_hugging_face else self.text.text_projection
        if isinstance(projection, nn.Module):
            outputs = projection(outputs)
        elif projection is not None:
            outputs = outputs @ projection
        return outputs.float().cpu()


@dataclass(frozen=True)
class _Result:
    """Of a batch: embeddings `(B, D)`, and the transformer's outputs `(B, L, W)` before the last norm."""

    embedding: Tensor
    outputs: Tensor


def _has_gaps(sequence: TokenSequence) -> bool:
    return sequence.positions[-1] + 1 != len(sequence.positions)
