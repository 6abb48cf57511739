"""OpenAI's CLIP, frozen: frames and token sequences in, embeddings out."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..pipeline.errors import CamoeError
from .clip_files import load_clip
from .clip_tokens import clip_tokens
from .clip_weights import Weights, find_weights
from .precision import PRECISIONS, best_way, units_of
from .text_tower import CausalTower
from .tower_encoder import TowerEncoder

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_MEAN = (0.48145466, 0.4578275, 0.40821073)
_STD = (0.26862954, 0.26130258, 0.27577711)
TEXT_ROWS = {"cpu": 256, "cuda": 16384}
"""Distinct sentence beginnings that are computed at once."""


class ClipEncoder(TowerEncoder):
    """CLIP with its weights frozen, in inference mode; `context_length` bounds a text's tokens (77)."""

    packages = ("clip-anytorch",)

    def __init__(self, model: Any, weights: Weights, device: torch.device, precision: str) -> None:
        self.model = model
        self.weights = weights
        self.device = device
        self.precision = precision
        self.batch_size = best_way(units_of(device.type), count_parameters(model)).batch_size
        self.resolution = int(model.visual.input_resolution)
        self.embed_dim = int(model.text_projection.shape[1])
        self.context_length = int(model.context_length)
        self.logit_scale = float(model.logit_scale.exp())
        self.tokens = clip_tokens(self.context_length)
        self._tower = CausalTower(model, TEXT_ROWS[device.type])

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
        check_precision(precision)
        weights = find_weights(name_or_path, cache_folder)
        model = load_clip(weights)
        chosen = resolve_precision(precision, place, count_parameters(model))
        _cast_weights(model, _DTYPES[chosen])
        return cls(model.to(place), weights, place, chosen)

    @cached_property
    def _normalisation(self) -> tuple[Tensor, Tensor]:
        mean = torch.tensor(_MEAN, device=self.device).view(1, 3, 1, 1) * 255
        std = torch.tensor(_STD, device=self.device).view(1, 3, 1, 1) * 255
        return mean, std

    @torch.inference_mode()
    def _encode(self, frames: Tensor) -> Tensor:
        mean, std = self._normalisation
        pixels = frames.to(self.device).permute(0, 3, 1, 2).float()
        embeddings: Tensor = self.model.encode_image((pixels - mean) / std)
        return embeddings.float().cpu()


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
    check_precision(precision)
    return best_way(units_of(device.type), parameters).precision if precision == "auto" else precision


def check_precision(precision: str) -> None:
    """Raises `CamoeError` for an unknown name."""
    if precision not in PRECISIONS:
        raise CamoeError(f"--precision {precision}: choose one of {', '.join(PRECISIONS)}")


def count_parameters(model: Any) -> int:
    """How many numbers a model has."""
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
