"""The frozen CLIP: frames and token sequences in, embeddings out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..pipeline.errors import CamoeError
from .clip_files import load_clip
from .clip_parts import clip_tokenizer
from .clip_tokens import end_token, start_token
from .clip_weights import Weights, find_weights
from .precision import PRECISIONS, best_way, units_of
from .text_tower import encode_tree, prefix_trees, tree_outputs
from .tokens import TokenSequence

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_MEAN = (0.48145466, 0.4578275, 0.40821073)
_STD = (0.26862954, 0.26130258, 0.27577711)
_TEXT_ROWS = {"cpu": 256, "cuda": 16384}
"""Distinct sentence beginnings that are computed at once."""


class ClipEncoder:
    """CLIP with its weights frozen, in inference mode.

    `resolution` is the side of the frames it takes, in pixels; `embed_dim` is D; `logit_scale` is the multiplier of
    its cosine similarities (100.0 for OpenAI's models); `context_length` bounds a text's tokens (77). `precision` is
    what it runs in, and `batch_size` how many frames at once suit its device.
    """

    def __init__(self, model: Any, weights: Weights, device: torch.device, precision: str) -> None:
        self.model = model
        self.weights = weights
        self.device = device
        self.precision = precision
        self.batch_size = best_way(units_of(device.type), _parameters(model)).batch_size
        self.resolution = int(model.visual.input_resolution)
        self.embed_dim = int(model.text_projection.shape[1])
        self.context_length = int(model.context_length)
        self.logit_scale = float(model.logit_scale.exp())

    @classmethod
    def load(
        cls,
        name_or_path: str,
        device: str = "auto",
        precision: str = "auto",
        cache_folder: Path | None = None,
    ) -> ClipEncoder:
        """Load `tiny`, an OpenAI name or a weights file.

        `precision` `auto` is the table's in `precision.py`: fp16 on a GPU, bf16 on a CPU with units for it, fp32
        elsewhere and for small models. Raises `CamoeError` when the weights cannot be found or are not CLIP's, or the
        device is not there.
        """
        place = resolve_device(device)
        _check_precision(precision)
        weights = find_weights(name_or_path, cache_folder)
        model = load_clip(weights)
        chosen = resolve_precision(precision, place, _parameters(model))
        _cast_weights(model, _DTYPES[chosen])
        return cls(model.to(place), weights, place, chosen)

    @cached_property
    def _normalisation(self) -> tuple[Tensor, Tensor]:
        mean = torch.tensor(_MEAN, device=self.device).view(1, 3, 1, 1) * 255
        std = torch.tensor(_STD, device=self.device).view(1, 3, 1, 1) * 255
        return mean, std

    @torch.inference_mode()
    def encode_frames(self, frames: np.ndarray | Tensor) -> Tensor:
        """Frames `(B, H, W, 3)` uint8 RGB of CLIP's own resolution -> float32 `(B, D)` on the CPU, not normalised."""
        if tuple(frames.shape[1:]) != (self.resolution, self.resolution, 3):
            raise ValueError(f"frames must be (B, {self.resolution}, {self.resolution}, 3), not {tuple(frames.shape)}")
        mean, std = self._normalisation
        pixels = torch.as_tensor(frames).to(self.device).permute(0, 3, 1, 2).float()
        embeddings: Tensor = self.model.encode_image((pixels - mean) / std)
        return embeddings.float().cpu()

    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        """Whole sentences -> float32 `(B, D)`, not normalised; each distinct one is encoded once.

        Texts beyond the context length are truncated as `clip.tokenize(truncate=True)` does.
        """
        sequences = [self._whole_sentence(text) for text in texts]
        distinct = list(dict.fromkeys(sequences))
        place = {sequence: index for index, sequence in enumerate(distinct)}
        return self.encode_tokens(distinct)[[place[sequence] for sequence in sequences]]

    def _whole_sentence(self, text: str) -> TokenSequence:
        """Up to the end token, which may be written in the text itself."""
        start, end = start_token(), end_token()
        tokens = [start, *clip_tokenizer().encode(text)[: self.context_length - 2], end]
        tokens = tokens[: tokens.index(end) + 1]
        return TokenSequence(tuple(tokens), tuple(range(len(tokens))))

    @torch.inference_mode()
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
        result = torch.empty(len(sequences), self.embed_dim)
        rows = rows or _TEXT_ROWS[self.device.type]
        for tree in prefix_trees(sequences, rows):
            result[tree.members] = encode_tree(self.model, tree, sequences, rows).float().cpu()
            if on_batch is not None:
                on_batch(len(tree.members))
        return result

    @torch.inference_mode()
    def encode_words(self, sequences: Sequence[TokenSequence]) -> Iterator[tuple[int, Tensor]]:
        """The output at every token: each sequence's place and its float32 `(L, D)` on the CPU, as they are computed.

        From the start token to the end token, projected, not normalised; the last is what `encode_tokens` gives, and
        like there it is the same in any company.
        """
        rows = _TEXT_ROWS[self.device.type]
        for tree in prefix_trees(sequences, rows):
            outputs = tree_outputs(self.model, tree, rows).cpu()
            for member, path in zip(tree.members, tree.paths, strict=True):
                yield member, outputs[path]


def resolve_device(device: str) -> torch.device:
    """`auto` is the first GPU, or the CPU; raises `CamoeError` for a device that is not there."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    gpus = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    usable = ["cpu", *(["cuda"] if gpus else []), *gpus]
    if device not in usable:
        raise CamoeError(f"--device {device}: this machine has {', '.join(usable)}; use one of them, or auto")
    return torch.device(device)


def resolve_precision(precision: str, device: torch.device, parameters: int) -> str:
    """What `auto` stands for on this device for a model of so many parameters; `CamoeError` for an unknown name."""
    _check_precision(precision)
    return best_way(units_of(device.type), parameters).precision if precision == "auto" else precision


def _check_precision(precision: str) -> None:
    if precision not in PRECISIONS:
        raise CamoeError(f"--precision {precision}: choose one of {', '.join(PRECISIONS)}")


def _parameters(model: Any) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _cast_weights(model: Any, dtype: torch.dtype) -> None:
    """Matrices in `dtype`; layer norms, embeddings and biases of norms stay float32, as in OpenAI's own fp16."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.to(dtype)
        elif isinstance(module, nn.MultiheadAttention):
            module.in_proj_weight.data = module.in_proj_weight.data.to(dtype)
            module.in_proj_bias.data = module.in_proj_bias.data.to(dtype)
        for name in ("text_projection", "proj"):
            if isinstance(getattr(module, name, None), nn.Parameter):
                getattr(module, name).data = getattr(module, name).data.to(dtype)
