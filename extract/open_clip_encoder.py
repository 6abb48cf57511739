"""Any model of open_clip as an encoder: SigLIP, CoCa, EVA, ConvNeXt, LAION's CLIPs and the others, or a trained one."""

from __future__ import annotations

import warnings
from pathlib import Path
from pickle import UnpicklingError
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from ..pipeline.errors import CamoeError
from ..pipeline.extras import needs_extra
from .clip_encoder import TEXT_ROWS, check_precision, count_parameters, resolve_device
from .clip_tokens import BytePairs
from .clip_weights import Weights
from .hub import fetched_elsewhere, hub_if_reachable, reason, why_not_fetched
from .plain_tower import PlainTower
from .precision import best_way, units_of
from .resize import LONGEST, Resize
from .text_blocks import find_activation
from .text_tokens import Tokens
from .text_tower import CausalTower
from .tower_encoder import TowerEncoder

_PLAIN_BATCH = {"cpu": 16, "cuda": 512}
"""Sequences that a tower which is not causal reads at once, each with its padding."""


def load(
    asked: str, device: str = "auto", precision: str = "auto", cache_folder: Path | None = None
) -> OpenClipEncoder:
    """What follows `open_clip:` in `--clip`, see `open_clip_weights.py`; precision `auto` is fp32.

    Raises `CamoeError` for a model, weights or a tokenizer that cannot be had, or weights of another model.
    """
    shown = f"open_clip:{asked}"
    place = resolve_device(device)
    check_precision(precision)
    with needs_extra("open-clip", f"--clip {shown}"):
        from .open_clip_weights import find_open_clip
    chosen = "fp32" if precision == "auto" else precision
    with hub_if_reachable():
        found = find_open_clip(asked, cache_folder)
        tokens = _load_tokens(found.model, shown, cache_folder)
        model = _build(found, shown, chosen, cache_folder)
        weights = found.weights(model)
    return OpenClipEncoder(model.to(place), weights, place, chosen, tokens)


class OpenClipEncoder(TowerEncoder):
    """An open_clip model with its weights frozen; a plainly causal text tower shares what sentences have in common."""

    packages = ("open_clip_torch", "timm")

    def __init__(self, model: Any, weights: Weights, device: torch.device, precision: str, tokens: Tokens) -> None:
        self.model, self.weights, self.device, self.precision, self.tokens = model, weights, device, precision, tokens
        self.batch_size = best_way(units_of(device.type), count_parameters(model)).batch_size
        prepared = model.visual.preprocess_cfg
        self.resolution = _side(prepared["size"], weights.name)
        fill = int(prepared.get("fill_color", 0)) if prepared["resize_mode"] == LONGEST else 0
        self.resize = Resize(prepared["resize_mode"], prepared["interpolation"], fill)
        self._mean, self._std = (
            torch.tensor(prepared[name], device=device).view(1, 3, 1, 1) * 255 for name in ("mean", "std")
        )
        self._dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
        self.logit_scale = float(model.logit_scale.float().exp())
        self.logit_bias = None if model.logit_bias is None else float(model.logit_bias.float())
        self.embed_dim = self._embed(torch.zeros(1, 3, self.resolution, self.resolution, device=device)).shape[1]
        self._tower = self._text_tower()

    def _text_tower(self) -> CausalTower | PlainTower:
        causal = causal_parts(self.model, self.tokens)
        if causal is not None:
            return CausalTower(causal, TEXT_ROWS[self.device.type])
        batch = _PLAIN_BATCH[self.device.type]
        return PlainTower(self.model, self.tokens.framing, self.device, width=self.embed_dim, batch=batch)

    @torch.inference_mode()
    def _embed(self, pixels: Tensor) -> Tensor:
        embeddings: Tensor = self.model.encode_image(pixels.to(self._dtype), normalize=False)
        return embeddings.float().cpu()

    def _encode(self, frames: Tensor) -> Tensor:
        pixels = frames.to(self.device).permute(0, 3, 1, 2).float()
        return self._embed((pixels - self._mean) / self._std)


def causal_parts(model: Any, tokens: Tokens) -> Any:
    """A text tower as `CausalTower` takes it; none where it is not of CLIP's kind, causal and read at its end token."""
    text = getattr(model, "text", model)
    blocks = getattr(getattr(text, "transformer", None), "resblocks", ())
    pooled = getattr(text, "text_pool_type", getattr(text, "pool_type", None))
    end = getattr(text, "text_eos_id", getattr(text, "eos_id", None))
    at_end = (pooled == "argmax" and isinstance(tokens, BytePairs)) or (
        pooled == "eos" and tokens.framing.after == (end,)
    )
    if (
        not at_end
        or not tokens.framing.before
        or getattr(text, "attn_mask", None) is None
        or getattr(text, "cls_emb", None) is not None
        or not isinstance(text.text_projection, nn.Parameter)
        or not all(_is_plain(block) for block in blocks)
    ):
        return None
    return SimpleNamespace(
        token_embedding=text.token_embedding,
        positional_embedding=text.positional_embedding,
        dtype=text.transformer.get_cast_dtype(),
        transformer=text.transformer,
        ln_final=text.ln_final,
        text_projection=text.text_projection,
    )


def _is_plain(block: Any) -> bool:
    """Whether a block is `x + attention(norm(x))`, then `x + mlp(norm(x))`, and nothing else."""
    return (
        type(block).__name__ == "ResidualAttentionBlock"
        and isinstance(block.attn, nn.MultiheadAttention)
        and isinstance(block.ls_1, nn.Identity)
        and isinstance(block.ls_2, nn.Identity)
        and find_activation(block.mlp.gelu) is not None
    )


def _side(size: Any, name: str) -> int:
    sides = set(size) if isinstance(size, tuple | list) else {size}
    if len(sides) > 1:
        raise CamoeError(f"--clip {name}: its frames are {' x '.join(map(str, size))}; only square ones can be made")
    return int(sides.pop())


def _load_tokens(model: str, shown: str, cache_folder: Path | None) -> Tokens:
    import open_clip

    from .open_clip_tokens import open_clip_tokens

    text = (open_clip.get_model_config(model) or {}).get("text_cfg", {})
    try:
        with needs_extra("open-clip", f"the tokenizer of {shown}"):
            tokenizer = open_clip.get_tokenizer(model, cache_dir=None if cache_folder is None else str(cache_folder))
    except CamoeError:
        raise
    except Exception as error:  # transformers tells of a cache and a network in errors of many kinds
        source = text.get("hf_tokenizer_name", model)
        raise CamoeError(
            f"--clip {shown}: its tokenizer {source} is not in the cache and could not be fetched "
            f"({why_not_fetched(error)}); {fetched_elsewhere(source)}"
        ) from None
    causal = not (text.get("no_causal_mask") or text.get("embed_cls") or text.get("hf_model_name"))
    return open_clip_tokens(tokenizer, shown, causal=causal)


def _build(found: Any, shown: str, precision: str, cache_folder: Path | None) -> Any:
    """The model with the weights of `found`, and nothing else that open_clip could fetch."""
    import open_clip

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = open_clip.create_model(
                found.model,
                pretrained=None if ":" in found.model else str(found.path),
                precision=precision,
                force_preprocess_cfg=dict(found.prepared),
                cache_dir=None if cache_folder is None else str(cache_folder),
                require_pretrained=True,
            )
    except Exception as error:  # torch, safetensors and open_clip meet damage with errors of many kinds
        tower = (open_clip.get_model_config(found.model) or {}).get("text_cfg", {}).get("hf_model_name")
        if tower and isinstance(error, OSError):
            raise CamoeError(
                f"--clip {shown}: the configuration of its text tower {tower} is not in the cache and could not be "
                f"fetched ({why_not_fetched(error)}); {fetched_elsewhere(tower)}"
            ) from None
        if isinstance(error, UnpicklingError | EOFError):  # torch's words are about its own options
            raise CamoeError(
                f"--clip {shown}: {found.path} is no weights file, or a damaged one (nothing in it was run); give a "
                "state dict (.pt, .bin) or .safetensors"
            ) from None
        raise CamoeError(
            f"--clip {shown}: {found.path} does not hold the weights of {found.model} ({reason(error)}); name the "
            "model that they are of"
        ) from None
    return model.eval().requires_grad_(False)
